//! FIFOs, sockets and devices that really work; descriptors that travel; notifications.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use crate::consts::*;
use crate::proc::{Map, as_user, child, shared, spawn};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["special";
    nobody: fifo_both_ends, fifo_nonblocking_writer, fifo_by_two_names, fifo_unlinked, fifo_size_stays, socket_stream, socket_datagram, socket_in_use, socket_nobody_listens, socket_renamed, socket_unlinked, socket_mode, socket_long_path,
        passes_unlinked_region, memory_outlives_everything, mkostemp, inotify_create_and_remove, inotify_modify, inotify_rename, inotify_unlink_self, inotify_directory, poll_regular, epoll_regular, proc_maps_name, tempfile_dance;
    root: null_device, device_by_user, fanotify_open, fifo_permissions, socket_permissions;
];

fn fifo(c: &Ctx<'_>) -> std::path::PathBuf {
    mknod(c.p("n"), S_IFIFO | 0o644, 0).unwrap();
    c.p("n")
}

fn fifo_both_ends(c: &Ctx<'_>) {
    let n = &fifo(c);
    let kid = spawn(|| {
        let mut out = std::fs::File::create(n).unwrap();
        out.write_all(b"through the fifo").unwrap();
    });
    let mut text = String::new();
    std::fs::File::open(n).unwrap().read_to_string(&mut text).unwrap();
    kid.join();
    assert_eq!(text, "through the fifo");
}

fn fifo_nonblocking_writer(c: &Ctx<'_>) {
    let n = &fifo(c);
    fails(open(n, O_WRONLY | O_NONBLOCK), ENXIO);
    let r = open(n, O_RDONLY | O_NONBLOCK).unwrap();
    let w = open(n, O_WRONLY | O_NONBLOCK).unwrap();
    fails(sys::read(&r, 1), EAGAIN);
    assert_eq!((sys::write(&w, b"x"), sys::read(&r, 9)), (Ok(1), Ok(b"x".to_vec())));
    drop(w);
    assert_eq!(sys::read(&r, 1), Ok(vec![]));
}

fn fifo_by_two_names(c: &Ctx<'_>) {
    let n = &fifo(c);
    link(n, c.p("m")).unwrap();
    let r = open(n, O_RDONLY | O_NONBLOCK).unwrap();
    let w = open(c.p("m"), O_WRONLY | O_NONBLOCK).unwrap();
    assert_eq!((sys::write(&w, b"x"), sys::read(&r, 9)), (Ok(1), Ok(b"x".to_vec())));
}

fn fifo_unlinked(c: &Ctx<'_>) {
    let n = &fifo(c);
    let r = open(n, O_RDONLY | O_NONBLOCK).unwrap();
    let w = open(n, O_WRONLY).unwrap();
    unlink(n).unwrap();
    assert_eq!((sys::write(&w, b"x"), sys::read(&r, 9)), (Ok(1), Ok(b"x".to_vec())));
    assert_eq!(fstat(&r).unwrap().nlink, 0);
}

fn fifo_size_stays(c: &Ctx<'_>) {
    let n = &fifo(c);
    let rw = open(n, O_RDWR | O_NONBLOCK).unwrap();
    sys::write(&rw, &[1; 5000]).unwrap();
    let st = fstat(&rw).unwrap();
    assert_eq!((st.size, st.blocks, st.kind()), (0, 0, S_IFIFO));
}

fn socket_stream(c: &Ctx<'_>) {
    let listener = UnixListener::bind(c.p("s")).unwrap();
    let kid = spawn(|| {
        let mut stream = UnixStream::connect(c.p("s")).unwrap();
        stream.write_all(b"hello").unwrap();
    });
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    kid.join();
    assert_eq!((text.as_str(), lstat(c.p("s")).unwrap().kind()), ("hello", S_IFSOCK));
}

fn socket_datagram(c: &Ctx<'_>) {
    let one = UnixDatagram::bind(c.p("a")).unwrap();
    let two = UnixDatagram::bind(c.p("b")).unwrap();
    one.send_to(b"ping", c.p("b")).unwrap();
    let mut buf = [0; 9];
    let (n, from) = two.recv_from(&mut buf).unwrap();
    assert_eq!((&buf[..n], from.as_pathname()), (&b"ping"[..], Some(c.p("a").as_path())));
}

fn os_error<T>(r: std::io::Result<T>) -> Option<i32> {
    r.err().and_then(|e| e.raw_os_error())
}

fn socket_in_use(c: &Ctx<'_>) {
    let _listener = UnixListener::bind(c.p("s")).unwrap();
    assert_eq!(os_error(UnixListener::bind(c.p("s"))), Some(libc::EADDRINUSE));
    touch(c.p("f"));
    assert_eq!(os_error(UnixListener::bind(c.p("f"))), Some(libc::EADDRINUSE));
    assert_eq!(os_error(UnixListener::bind(c.p("no/s"))), Some(libc::ENOENT));
}

fn socket_nobody_listens(c: &Ctx<'_>) {
    drop(UnixListener::bind(c.p("s")).unwrap());
    assert_eq!(os_error(UnixStream::connect(c.p("s"))), Some(libc::ECONNREFUSED));
    touch(c.p("f"));
    assert_eq!(os_error(UnixStream::connect(c.p("f"))), Some(libc::ECONNREFUSED));
    assert_eq!(os_error(UnixStream::connect(c.p("no"))), Some(libc::ENOENT));
}

fn socket_renamed(c: &Ctx<'_>) {
    let _listener = UnixListener::bind(c.p("s")).unwrap();
    mkdir(c.p("d"), 0o700).unwrap();
    rename(c.p("s"), c.p("d/t")).unwrap();
    UnixStream::connect(c.p("d/t")).unwrap();
    link(c.p("d/t"), c.p("u")).unwrap();
    UnixStream::connect(c.p("u")).unwrap();
}

fn socket_unlinked(c: &Ctx<'_>) {
    let listener = UnixListener::bind(c.p("s")).unwrap();
    let stream = UnixStream::connect(c.p("s")).unwrap();
    unlink(c.p("s")).unwrap();
    assert_eq!(os_error(UnixStream::connect(c.p("s"))), Some(libc::ENOENT));
    let (mut peer, _) = listener.accept().unwrap();
    (&stream).write_all(b"x").unwrap();
    let mut buf = [0; 1];
    peer.read_exact(&mut buf).unwrap();
}

fn socket_mode(c: &Ctx<'_>) {
    sys::umask(0o027);
    let _listener = UnixListener::bind(c.p("s")).unwrap();
    assert_eq!(lstat(c.p("s")).unwrap().mode, S_IFSOCK | 0o750);
}

fn socket_long_path(c: &Ctx<'_>) {
    chdir(&c.dir).unwrap();
    let name = "s".repeat(107);
    let _listener = UnixListener::bind(&name).unwrap();
    UnixStream::connect(&name).unwrap();
}

fn send_fd(socket: &UnixStream, fd: &OwnedFd) {
    let mut byte = [1u8];
    let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut space = [0u64; 4];
    // SAFETY: all-zero is a valid msghdr; the buffers live through the call; CMSG_* stay inside `space`.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut iov;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd.as_raw_fd());
        assert_eq!(libc::sendmsg(socket.as_raw_fd(), &message, 0), 1);
    }
}

fn receive_fd(socket: &UnixStream) -> OwnedFd {
    let mut byte = [0u8];
    let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut space = [0u64; 4];
    // SAFETY: as in `send_fd`; the descriptor received is ours.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut iov;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&space);
        assert_eq!(libc::recvmsg(socket.as_raw_fd(), &mut message, 0), 1);
        let header = libc::CMSG_FIRSTHDR(&message);
        assert!(!header.is_null());
        OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<i32>().read_unaligned())
    }
}

fn passes_unlinked_region(c: &Ctx<'_>) {
    // How Wayland and browsers share memory: a random name, unlinked at once, the descriptor sent.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let fd = put(c.p("shm-aB3dE6"), b"");
    unlink(c.p("shm-aB3dE6")).unwrap();
    ftruncate(&fd, 65_536).unwrap();
    let map = shared(&fd, 65_536);
    map.fill(60_000, b"before");
    let kid = spawn(|| {
        drop(ours.try_clone());
        let got = receive_fd(&theirs);
        assert_eq!(fstat(&got).unwrap().size, 65_536);
        let map = shared(&got, 65_536);
        assert_eq!(map.copy(60_000, 6), b"before");
        map.fill(10, b"answer");
        ftruncate(&got, 131_072).unwrap();
    });
    send_fd(&ours, &fd);
    kid.join();
    assert_eq!((map.copy(10, 6), fstat(&fd).unwrap().size), (b"answer".to_vec(), 131_072));
}

fn memory_outlives_everything(c: &Ctx<'_>) {
    let map: Map = {
        let fd = put(c.p("f"), &[7; 20_000]);
        shared(&fd, 20_000)
    };
    unlink(c.p("f")).unwrap();
    assert_eq!((map.get(0), map.get(19_999)), (7, 7));
    map.set(4096, 9);
    child(|| {
        assert_eq!(map.get(4096), 9);
        map.set(8192, 11);
    });
    assert_eq!(map.get(8192), 11);
}

fn mkostemp(c: &Ctx<'_>) {
    let mut template = sys::c(c.p("shm-XXXXXX")).into_bytes_with_nul();
    // SAFETY: a writable, NUL-terminated template.
    let fd = owned(unsafe { libc::mkostemp(template.as_mut_ptr().cast(), libc::O_CLOEXEC) }).unwrap();
    let st = fstat(&fd).unwrap();
    assert_eq!((st.mode, ls(&c.dir).len()), (S_IFREG | 0o600, 1));
    ftruncate(&fd, 4096).unwrap();
    unlink(c.p(&ls(&c.dir)[0])).unwrap();
    shared(&fd, 4096).set(0, 1);
}

fn tempfile_dance(c: &Ctx<'_>) {
    let file = tempfile::tempfile_in(&c.dir).unwrap();
    (&file).write_all(b"data").unwrap();
    assert_eq!((file.metadata().unwrap().len(), ls(&c.dir).len()), (4, 0));
    let named = tempfile::NamedTempFile::new_in(&c.dir).unwrap();
    named.persist_noclobber(c.p("kept")).unwrap();
    assert_eq!(ls(&c.dir), ["kept"]);
}

struct Watch(OwnedFd);

impl Watch {
    fn new(p: &std::path::Path, mask: u32) -> Watch {
        // SAFETY: a NUL-terminated path.
        unsafe {
            let fd = owned(libc::inotify_init1(libc::IN_NONBLOCK)).unwrap();
            check(libc::inotify_add_watch(fd.as_raw_fd(), sys::c(p).as_ptr(), mask)).unwrap();
            Watch(fd)
        }
    }

    /// What has happened: mask and name.
    fn events(&self) -> Vec<(u32, String)> {
        let Ok(bytes) = sys::read(&self.0, 65_536) else { return Vec::new() };
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut events, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let len = word(at + 12) as usize;
            let name = String::from_utf8_lossy(&bytes[at + 16..at + 16 + len]).trim_end_matches('\0').to_string();
            events.push((word(at + 4), name));
            at += 16 + len;
        }
        events
    }
}

fn named<const N: usize>(events: [(u32, &str); N]) -> Vec<(u32, String)> {
    events.map(|(mask, name)| (mask, name.to_string())).to_vec()
}

fn inotify_create_and_remove(c: &Ctx<'_>) {
    let watch = Watch::new(&c.dir, libc::IN_CREATE | libc::IN_DELETE);
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    link(c.p("f"), c.p("g")).unwrap();
    unlink(c.p("f")).unwrap();
    rmdir(c.p("d")).unwrap();
    let dir = libc::IN_ISDIR;
    let want = [(libc::IN_CREATE, "f"), (libc::IN_CREATE | dir, "d"), (libc::IN_CREATE, "g"), (libc::IN_DELETE, "f"), (libc::IN_DELETE | dir, "d")];
    assert_eq!(watch.events(), named(want));
}

fn inotify_modify(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    let watch = Watch::new(&c.p("f"), libc::IN_MODIFY | libc::IN_ATTRIB | libc::IN_CLOSE_WRITE);
    sys::write(&fd, b"x").unwrap();
    ftruncate(&fd, 1).unwrap();
    fchmod(&fd, 0o600).unwrap();
    drop(fd);
    let want = [libc::IN_MODIFY, libc::IN_MODIFY, libc::IN_ATTRIB, libc::IN_CLOSE_WRITE].map(|m| (m, String::new()));
    let mut got = watch.events();
    got.dedup();
    let mut want = want.to_vec();
    want.dedup();
    assert_eq!(got, want);
}

fn inotify_rename(c: &Ctx<'_>) {
    touch(c.p("a"));
    let watch = Watch::new(&c.dir, libc::IN_MOVE);
    rename(c.p("a"), c.p("b")).unwrap();
    assert_eq!(watch.events(), named([(libc::IN_MOVED_FROM, "a"), (libc::IN_MOVED_TO, "b")]));
}

fn inotify_unlink_self(c: &Ctx<'_>) {
    touch(c.p("f"));
    let watch = Watch::new(&c.p("f"), libc::IN_DELETE_SELF | libc::IN_ATTRIB);
    unlink(c.p("f")).unwrap();
    let want = [libc::IN_ATTRIB, libc::IN_DELETE_SELF, libc::IN_IGNORED].map(|m| (m, String::new()));
    assert_eq!(watch.events(), want.to_vec());
}

fn inotify_directory(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let watch = Watch::new(&c.dir, libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE);
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    sys::read(&fd, 9).unwrap();
    drop(fd);
    assert_eq!(watch.events(), named([(libc::IN_OPEN, "f"), (libc::IN_ACCESS, "f"), (libc::IN_CLOSE_NOWRITE, "f")]));
}

fn poll_regular(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let events = libc::POLLIN | libc::POLLOUT | libc::POLLPRI;
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one pollfd.
    assert_eq!(unsafe { libc::poll(&mut poll, 1, 0) }, 1);
    assert_eq!(poll.revents, libc::POLLIN | libc::POLLOUT);
}

fn epoll_regular(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    // SAFETY: a live event.
    unsafe {
        let epoll = owned(libc::epoll_create1(0)).unwrap();
        let mut event = libc::epoll_event { events: 1, u64: 0 };
        let added = check(libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event));
        assert_eq!(added, if c.differs() { Ok(0) } else { Err(EPERM) });
    }
}

fn proc_maps_name(c: &Ctx<'_>) {
    let fd = put(c.p("shm_object"), &[1; 4096]);
    let _map = shared(&fd, 4096);
    drop(fd);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|l| l.contains("shm_object")).expect("the mapping's name in /proc/self/maps");
    assert!(line.ends_with(c.p("shm_object").to_str().unwrap()) && line.contains("rw-s"), "{line}");
}

fn null_device(c: &Ctx<'_>) {
    mknod(c.p("null"), S_IFCHR | 0o666, makedev(1, 3)).unwrap();
    mknod(c.p("zero"), S_IFCHR | 0o666, makedev(1, 5)).unwrap();
    let (null, zero) = (open(c.p("null"), O_RDWR).unwrap(), open(c.p("zero"), O_RDWR).unwrap());
    assert_eq!((sys::write(&null, b"x"), sys::read(&null, 9), sys::read(&zero, 3)), (Ok(1), Ok(vec![]), Ok(vec![0; 3])));
    mknod(c.p("none"), S_IFCHR | 0o666, makedev(250, 77)).unwrap();
    fails(open(c.p("none"), O_RDWR), ENXIO);
}

fn device_by_user(c: &Ctx<'_>) {
    mknod(c.p("null"), S_IFCHR | 0o600, makedev(1, 3)).unwrap();
    as_user(1000, || fails(open(c.p("null"), O_RDWR), EACCES));
    chmod(c.p("null"), 0o666).unwrap();
    as_user(1000, || drop(open(c.p("null"), O_RDWR).unwrap()));
}

fn fanotify_open(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    // SAFETY: a NUL-terminated path.
    let events = unsafe {
        let group = owned(libc::fanotify_init(libc::FAN_CLASS_NOTIF | libc::FAN_NONBLOCK, O_RDONLY as u32)).unwrap();
        let marked = libc::fanotify_mark(group.as_raw_fd(), libc::FAN_MARK_ADD, libc::FAN_OPEN | libc::FAN_MODIFY, libc::AT_FDCWD, sys::c(c.p("f")).as_ptr());
        check(marked).unwrap();
        child(|| sys::write(&open(c.p("f"), O_WRONLY).unwrap(), b"x").map(drop).unwrap());
        sys::read(&group, 4096).unwrap()
    };
    let mask = u64::from_ne_bytes(events[8..16].try_into().unwrap());
    assert_eq!(mask, libc::FAN_OPEN | libc::FAN_MODIFY);
}

fn fifo_permissions(c: &Ctx<'_>) {
    let n = &fifo(c);
    chmod(n, 0o622).unwrap();
    as_user(1000, || {
        fails(open(n, O_RDONLY | O_NONBLOCK), EACCES);
        fails(open(n, O_WRONLY | O_NONBLOCK), ENXIO);
    });
}

fn socket_permissions(c: &Ctx<'_>) {
    let _listener = UnixListener::bind(c.p("s")).unwrap();
    chmod(c.p("s"), 0o600).unwrap();
    as_user(1000, || assert_eq!(os_error(UnixStream::connect(c.p("s"))), Some(libc::EACCES)));
    chmod(c.p("s"), 0o622).unwrap();
    as_user(1000, || drop(UnixStream::connect(c.p("s")).unwrap()));
}
