//! open(2): its flags, and what an open file is.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::{self, as_user, child, ids};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["open";
    nobody: missing, trunc, trunc_readonly, trunc_without_permission, append, append_ignores_pwrite_offset, append_after_truncate,
        append_set_later, nofollow, nofollow_path, directory_flag, directory_for_writing, creat_of_a_directory,
        creat_with_directory_flag, path_descriptor, path_of_a_directory, tmpfile, tmpfile_flags, direct, sync_flags, by_proc_self_fd,
        proc_fd_reopens_for_writing, reopen_of_the_unlinked, readonly_refuses_writes, writeonly_refuses_reads,
        offset_is_shared_by_dup, offsets_are_separate, read_at_and_past_the_end, write_past_the_end, negative_offset,
        lseek_negative, zero_byte_write, noatime_flag, access_mode_three, huge_offset, vectors, same_file_many_times, nonblock_regular,
        executable, text_busy, preadv2_flags, o_excl_without_creat;
    root: permission_bits, owner_bits_win, noatime_of_others, root_overrides, execute_only, write_only_append, fsuid_decides;
];

fn missing(c: &Ctx<'_>) {
    fails(open(c.p("no"), O_RDONLY), ENOENT);
    fails(open(c.p("no"), O_RDWR | O_TRUNC), ENOENT);
    fails(open(c.p("no"), O_PATH), ENOENT);
}

fn trunc(c: &Ctx<'_>) {
    let old = put(c.p("f"), &[7; 10_000]);
    let new = open(c.p("f"), O_WRONLY | O_TRUNC).unwrap();
    assert_eq!((fstat(&new).unwrap().size, fstat(&old).unwrap().blocks), (0, 0));
    assert_eq!(pread(&old, 10, 0), Ok(vec![]));
}

fn trunc_readonly(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    open(c.p("f"), O_RDONLY | O_TRUNC).unwrap();
    assert_eq!(stat(c.p("f")).unwrap().size, 0);
}

fn trunc_without_permission(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    chmod(c.p("f"), 0o444).unwrap();
    if ids().0 != 0 {
        fails(open(c.p("f"), O_RDONLY | O_TRUNC), EACCES);
        fails(truncate(c.p("f"), 0), EACCES);
        assert_eq!(slurp(c.p("f")), b"data");
    }
}

fn append(c: &Ctx<'_>) {
    put(c.p("f"), b"one");
    let a = open(c.p("f"), O_WRONLY | O_APPEND).unwrap();
    let b = open(c.p("f"), O_WRONLY | O_APPEND).unwrap();
    sys::write(&a, b"two").unwrap();
    sys::write(&b, b"three").unwrap();
    lseek(&a, 0, SEEK_SET).unwrap();
    sys::write(&a, b"!").unwrap();
    assert_eq!(slurp(c.p("f")), b"onetwothree!");
    assert_eq!(lseek(&a, 0, SEEK_CUR), Ok(12));
}

fn append_ignores_pwrite_offset(c: &Ctx<'_>) {
    put(c.p("f"), b"one");
    let fd = open(c.p("f"), O_RDWR | O_APPEND).unwrap();
    assert_eq!(pwrite(&fd, b"two", 0), Ok(3));
    assert_eq!(slurp(c.p("f")), b"onetwo");
    assert_eq!(lseek(&fd, 0, SEEK_CUR), Ok(0));
}

fn append_after_truncate(c: &Ctx<'_>) {
    let fd = open(c.p("f"), O_CREAT | O_WRONLY | O_APPEND).unwrap();
    sys::write(&fd, b"0123456789").unwrap();
    truncate(c.p("f"), 4).unwrap();
    sys::write(&fd, b"x").unwrap();
    truncate(c.p("f"), 8).unwrap();
    sys::write(&fd, b"y").unwrap();
    assert_eq!(slurp(c.p("f")), b"0123x\0\0\0y");
}

fn append_set_later(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"abc");
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd.as_raw_fd(), F_SETFL, O_APPEND) };
    lseek(&fd, 0, SEEK_SET).unwrap();
    sys::write(&fd, b"d").unwrap();
    assert_eq!(slurp(c.p("f")), b"abcd");
}

fn nofollow(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    fails(open(c.p("l"), O_RDONLY | O_NOFOLLOW), ELOOP);
    fails(open(c.p("l"), O_RDWR | O_CREAT | O_NOFOLLOW), ELOOP);
    fails(open(c.p("l"), O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
    open(c.p("f"), O_RDONLY | O_NOFOLLOW).unwrap();
}

fn nofollow_path(c: &Ctx<'_>) {
    symlink("nowhere", c.p("l")).unwrap();
    let fd = open(c.p("l"), O_PATH | O_NOFOLLOW).unwrap();
    assert_eq!(fstat(&fd), lstat(c.p("l")));
    let mut buf = [0u8; 32];
    // SAFETY: `buf` is as long as said.
    let n = unsafe { libc::readlinkat(fd.as_raw_fd(), c"".as_ptr(), buf.as_mut_ptr().cast(), 32) };
    assert_eq!(&buf[..n as usize], b"nowhere");
}

fn directory_flag(c: &Ctx<'_>) {
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("d", c.p("l")).unwrap();
    fails(open(c.p("f"), O_RDONLY | O_DIRECTORY), ENOTDIR);
    open(c.p("d"), O_RDONLY | O_DIRECTORY).unwrap();
    open(c.p("l"), O_RDONLY | O_DIRECTORY).unwrap();
}

fn directory_for_writing(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    fails(open(c.p("d"), O_WRONLY), EISDIR);
    fails(open(c.p("d"), O_RDWR), EISDIR);
    fails(open(c.p("d"), O_RDONLY | O_TRUNC), EISDIR);
    let fd = open(c.p("d"), O_RDONLY).unwrap();
    fails(sys::read(&fd, 1), EISDIR);
    fails(sys::write(&fd, b"x"), EBADF);
    fails(ftruncate(&fd, 0), EINVAL);
    fails(truncate(c.p("d"), 0), EISDIR);
}

fn creat_of_a_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    fails(open(c.p("d"), O_CREAT | O_RDWR), EISDIR);
    fails(open(c.p("d"), O_CREAT | O_RDONLY), EISDIR);
    fails(open(c.p("d"), O_CREAT | O_EXCL | O_RDWR), EEXIST);
}

fn creat_with_directory_flag(c: &Ctx<'_>) {
    // Refused since 6.3: before, it made a regular file.
    fails(open(c.p("f"), O_CREAT | O_DIRECTORY | O_RDONLY), EINVAL);
    assert_eq!(ls(&c.dir), [""; 0]);
}

fn path_descriptor(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let fd = open(c.p("f"), O_PATH).unwrap();
    fails(sys::read(&fd, 1), EBADF);
    fails(sys::write(&fd, b"x"), EBADF);
    fails(ftruncate(&fd, 0), EBADF);
    fails(fchmod(&fd, 0o600), EBADF);
    fails(fchown(&fd, 0, 0), EBADF);
    assert_eq!(fstat(&fd), stat(c.p("f")));
    let again = format!("/proc/self/fd/{}", fd.as_raw_fd());
    chmod(&again, 0o600).unwrap();
    assert_eq!(stat(c.p("f")).unwrap().perm(), 0o600);
    let real = open(&again, O_RDWR).unwrap();
    assert_eq!(pread(&real, 9, 0), Ok(b"data".to_vec()));
}

fn path_of_a_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let fd = open(c.p("d"), O_PATH | O_DIRECTORY).unwrap();
    openat(&fd, "f", O_CREAT | O_WRONLY, 0o600).unwrap();
    assert_eq!(ls(c.p("d")), ["f"]);
    fails(openat(&fd, ".", O_WRONLY, 0), EISDIR);
}

fn tmpfile(c: &Ctx<'_>) {
    if c.differs() {
        fails(open_mode(&c.dir, O_TMPFILE | O_RDWR, 0o600), EOPNOTSUPP);
        fails(open_mode(&c.dir, O_TMPFILE | O_RDWR, 0o600), EOPNOTSUPP);
        return;
    }
    let fd = open_mode(&c.dir, O_TMPFILE | O_RDWR, 0o600).unwrap();
    assert_eq!(fstat(&fd).unwrap().nlink, 0);
    sys::write(&fd, b"data").unwrap();
    linkat(format!("/proc/self/fd/{}", fd.as_raw_fd()), c.p("f"), AT_SYMLINK_FOLLOW).unwrap();
    assert_eq!((slurp(c.p("f")), fstat(&fd).unwrap().nlink), (b"data".to_vec(), 1));
}

fn tmpfile_flags(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(open_mode(&c.dir, O_TMPFILE | O_RDONLY, 0o600), EINVAL);
    fails(open_mode(c.p("f"), O_TMPFILE | O_RDWR, 0o600), ENOTDIR);
    fails(open_mode(c.p("no"), O_TMPFILE | O_RDWR, 0o600), ENOENT);
}

fn direct(c: &Ctx<'_>) {
    put(c.p("f"), &[5; 8192]);
    let fd = open(c.p("f"), O_RDWR | O_DIRECT).unwrap();
    // tmpfs takes O_DIRECT and needs no alignment.
    assert_eq!(pread(&fd, 3, 1), Ok(vec![5; 3]));
    assert_eq!(pwrite(&fd, b"xyz", 8190), Ok(3));
    assert_eq!(fstat(&fd).unwrap().size, 8193);
    assert_eq!(pread(&open(c.p("f"), O_RDONLY).unwrap(), 9, 8189), Ok(b"\x05xyz".to_vec()));
}

fn sync_flags(c: &Ctx<'_>) {
    let fd = open(c.p("f"), O_CREAT | O_RDWR | O_SYNC).unwrap();
    assert_eq!(sys::write(&fd, b"data"), Ok(4));
    fsync(&fd).unwrap();
    let dir = open(&c.dir, O_RDONLY).unwrap();
    fsync(&dir).unwrap();
    // SAFETY: no pointers.
    unsafe {
        assert_eq!(libc::fdatasync(fd.as_raw_fd()), 0);
        assert_eq!(libc::fdatasync(dir.as_raw_fd()), 0);
        assert_eq!(libc::syncfs(fd.as_raw_fd()), 0);
        assert_eq!(libc::sync_file_range(fd.as_raw_fd(), 0, 0, 7), 0);
    }
}

fn by_proc_self_fd(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    let again = open(format!("/proc/self/fd/{}", fd.as_raw_fd()), O_RDONLY).unwrap();
    assert_eq!(sys::read(&again, 9), Ok(b"data".to_vec()));
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    assert_eq!(name, c.p("f"));
    unlink(c.p("f")).unwrap();
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    assert_eq!(name.to_string_lossy(), format!("{} (deleted)", c.p("f").display()));
}

fn proc_fd_reopens_for_writing(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    let writable = open(format!("/proc/self/fd/{}", fd.as_raw_fd()), O_RDWR | O_TRUNC).unwrap();
    sys::write(&writable, b"x").unwrap();
    assert_eq!(pread(&fd, 9, 0), Ok(b"x".to_vec()));
    chmod(c.p("f"), 0o400).unwrap();
    if ids().0 != 0 {
        fails(open(format!("/proc/self/fd/{}", fd.as_raw_fd()), O_RDWR), EACCES);
    }
}

fn reopen_of_the_unlinked(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    unlink(c.p("f")).unwrap();
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let again = open(&path, O_RDWR).unwrap();
    drop(fd);
    assert_eq!(pread(&again, 9, 0), Ok(b"data".to_vec()));
    assert_eq!(pwrite(&again, b"D", 0), Ok(1));
    assert_eq!(fstat(&again).unwrap().nlink, 0);
}

fn readonly_refuses_writes(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    fails(sys::write(&fd, b"x"), EBADF);
    fails(ftruncate(&fd, 0), EINVAL);
    fails(fallocate(&fd, 0, 0, 4096), EBADF);
    fails(proc::mmap(&fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0).map(drop), EACCES);
    proc::mmap(&fd, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0).unwrap();
}

fn writeonly_refuses_reads(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let fd = open(c.p("f"), O_WRONLY).unwrap();
    fails(sys::read(&fd, 1), EBADF);
    fails(proc::mmap(&fd, 4096, PROT_WRITE, MAP_SHARED, 0).map(drop), EACCES);
    fails(proc::mmap(&fd, 4096, PROT_READ, MAP_PRIVATE, 0).map(drop), EACCES);
}

fn offset_is_shared_by_dup(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let twin = fd.try_clone().unwrap();
    child(|| {
        sys::write(&twin, b"child").unwrap();
    });
    sys::write(&fd, b"parent").unwrap();
    assert_eq!(slurp(c.p("f")), b"childparent");
}

fn offsets_are_separate(c: &Ctx<'_>) {
    let a = put(c.p("f"), b"0123456789");
    let b = open(c.p("f"), O_RDWR).unwrap();
    sys::write(&b, b"ab").unwrap();
    assert_eq!((lseek(&a, 0, SEEK_CUR), lseek(&b, 0, SEEK_CUR)), (Ok(10), Ok(2)));
    assert_eq!(lseek(&b, -3, SEEK_END), Ok(7));
    assert_eq!(sys::read(&b, 99), Ok(b"789".to_vec()));
}

fn read_at_and_past_the_end(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    assert_eq!((sys::read(&fd, 9), pread(&fd, 9, 3), pread(&fd, 9, 4), pread(&fd, 9, 1 << 40)),
        (Ok(vec![]), Ok(b"a".to_vec()), Ok(vec![]), Ok(vec![])));
}

fn write_past_the_end(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"ab");
    assert_eq!(pwrite(&fd, b"z", 5), Ok(1));
    assert_eq!(slurp(c.p("f")), b"ab\0\0\0z");
    assert_eq!(pwrite(&fd, b"z", 100_000), Ok(1));
    let st = fstat(&fd).unwrap();
    assert_eq!((st.size, st.blocks), (100_001, 16));
}

fn negative_offset(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"ab");
    fails(pread(&fd, 1, -1), EINVAL);
    fails(pwrite(&fd, b"x", -1), EINVAL);
}

fn lseek_negative(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"ab");
    fails(lseek(&fd, -1, SEEK_SET), EINVAL);
    fails(lseek(&fd, -3, SEEK_END), EINVAL);
    fails(lseek(&fd, 0, 17), EINVAL);
    assert_eq!(lseek(&fd, i64::MAX, SEEK_SET), Ok(i64::MAX));
    fails(lseek(&fd, 1, SEEK_CUR), EINVAL);
}

fn zero_byte_write(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"ab");
    assert_eq!(pwrite(&fd, b"", 100), Ok(0));
    assert_eq!(fstat(&fd).unwrap().size, 2);
}

fn noatime_flag(c: &Ctx<'_>) {
    put(c.p("f"), b"ab");
    utimens(c.p("f"), Some([(1000, 0), (2000, 0)]), 0).unwrap();
    let fd = open(c.p("f"), O_RDONLY | O_NOATIME).unwrap();
    assert_eq!(sys::read(&fd, 9), Ok(b"ab".to_vec()));
    assert_eq!(fstat(&fd).unwrap().atime, (1000, 0));
}

fn access_mode_three(c: &Ctx<'_>) {
    // Access mode 3: permission to read and write is checked, neither is possible.
    put(c.p("f"), b"ab");
    let fd = open(c.p("f"), 3).unwrap();
    fails(sys::read(&fd, 1), EBADF);
    fails(sys::write(&fd, b"x"), EBADF);
}

fn huge_offset(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    fails(pwrite(&fd, b"x", i64::MAX), EINVAL);
    fails(ftruncate(&fd, -1), EINVAL);
    fails(truncate(c.p("f"), -1), EINVAL);
    assert_eq!(fstat(&fd).unwrap().size, 0);
}

fn vectors(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let parts: [&[u8]; 4] = [b"one", b"", b"two", b"three"];
    let iov = parts.map(|p| libc::iovec { iov_base: p.as_ptr().cast_mut().cast(), iov_len: p.len() });
    // SAFETY: live buffers.
    let n = unsafe { libc::pwritev(fd.as_raw_fd(), iov.as_ptr(), 4, 2) };
    assert_eq!((n, slurp(c.p("f"))), (11, b"\0\0onetwothree".to_vec()));
    let (mut a, mut b) = ([0u8; 4], [0u8; 100]);
    let iov = [
        libc::iovec { iov_base: a.as_mut_ptr().cast(), iov_len: 4 },
        libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: 100 },
    ];
    // SAFETY: live buffers.
    let n = unsafe { libc::preadv(fd.as_raw_fd(), iov.as_ptr(), 2, 1) };
    assert_eq!((n, &a, &b[..8]), (12, b"\0one", &b"twothree"[..]));
}

fn same_file_many_times(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let fds: Vec<_> = (0..500).map(|i| open(c.p("f"), if i % 2 == 0 { O_RDONLY } else { O_RDWR }).unwrap()).collect();
    unlink(c.p("f")).unwrap();
    pwrite(&fds[1], b"D", 0).unwrap();
    assert!(fds.iter().all(|fd| pread(fd, 9, 0) == Ok(b"Data".to_vec())));
}

fn nonblock_regular(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let fd = open(c.p("f"), O_RDWR | O_NONBLOCK).unwrap();
    assert_eq!(sys::read(&fd, 9), Ok(b"data".to_vec()));
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd.
    assert_eq!(unsafe { libc::poll(&mut poll, 1, 0) }, 1);
    assert_eq!(poll.revents, libc::POLLIN | libc::POLLOUT);
}

fn executable(c: &Ctx<'_>) {
    std::fs::copy("/bin/true", c.p("true")).unwrap();
    chmod(c.p("true"), 0o755).unwrap();
    assert!(std::process::Command::new(c.p("true")).status().unwrap().success());
    put(c.p("script"), b"#!/bin/sh\nexit 7\n");
    chmod(c.p("script"), 0o755).unwrap();
    assert_eq!(std::process::Command::new(c.p("script")).status().unwrap().code(), Some(7));
    chmod(c.p("true"), 0o644).unwrap();
    let denied = std::process::Command::new(c.p("true")).status().unwrap_err();
    assert_eq!(denied.raw_os_error(), Some(libc::EACCES));
}

fn text_busy(c: &Ctx<'_>) {
    std::fs::copy("/bin/sleep", c.p("sleep")).unwrap();
    chmod(c.p("sleep"), 0o755).unwrap();
    let mut running = std::process::Command::new(c.p("sleep")).arg("60").spawn().unwrap();
    fails(open(c.p("sleep"), O_WRONLY), ETXTBSY);
    fails(truncate(c.p("sleep"), 0), ETXTBSY);
    open(c.p("sleep"), O_RDONLY).unwrap();
    unlink(c.p("sleep")).unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    std::fs::copy("/bin/true", c.p("true")).unwrap();
    chmod(c.p("true"), 0o755).unwrap();
    let _writer = open(c.p("true"), O_WRONLY).unwrap();
    let busy = std::process::Command::new(c.p("true")).status().unwrap_err();
    assert_eq!(busy.raw_os_error(), Some(libc::ETXTBSY));
}

fn preadv2_flags(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"abc");
    let data = b"xy";
    let iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: 2 };
    // SAFETY: a live buffer. RWF_APPEND appends whatever the offset.
    let n = unsafe { libc::pwritev2(fd.as_raw_fd(), &iov, 1, 0, libc::RWF_APPEND) };
    assert_eq!((n, slurp(c.p("f"))), (2, b"abcxy".to_vec()));
    // SAFETY: as above; an unknown flag.
    let n = unsafe { libc::pwritev2(fd.as_raw_fd(), &iov, 1, 0, 0x4000_0000) };
    assert_eq!((n, errno()), (-1, EOPNOTSUPP));
}

fn o_excl_without_creat(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    open(c.p("f"), O_RDWR | O_EXCL).unwrap();
}

fn permission_bits(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    // For others: what each mode allows.
    for mode in 0..8 {
        chmod(c.p("f"), mode).unwrap();
        as_user(1000, || {
            let may = |flags| open(c.p("f"), flags).map(drop);
            let want = |bits| if mode & bits == bits { Ok(()) } else { Err(EACCES) };
            assert_eq!((may(O_RDONLY), may(O_WRONLY), may(O_RDWR)), (want(4), want(2), want(6)), "mode {mode:o}");
            assert_eq!(sys::access(c.p("f"), X_OK), want(1), "mode {mode:o}");
            open(c.p("f"), O_PATH).unwrap();
        });
    }
}

fn owner_bits_win(c: &Ctx<'_>) {
    touch(c.p("f"));
    chown(c.p("f"), 1000, 1000).unwrap();
    chmod(c.p("f"), 0o077).unwrap();
    as_user(1000, || fails(open(c.p("f"), O_RDONLY), EACCES));
    chmod(c.p("f"), 0o707).unwrap();
    proc::as_member(1001, 1000, &[], || fails(open(c.p("f"), O_RDONLY), EACCES));
    proc::as_member(1001, 1001, &[1000], || fails(open(c.p("f"), O_RDONLY), EACCES));
    as_user(1001, || drop(open(c.p("f"), O_RDWR).unwrap()));
}

fn noatime_of_others(c: &Ctx<'_>) {
    touch(c.p("f"));
    as_user(1000, || fails(open(c.p("f"), O_RDONLY | O_NOATIME), EPERM));
}

fn root_overrides(c: &Ctx<'_>) {
    touch(c.p("f"));
    chmod(c.p("f"), 0).unwrap();
    open(c.p("f"), O_RDWR).unwrap();
    fails(sys::access(c.p("f"), X_OK), EACCES);
    chmod(c.p("f"), 0o010).unwrap();
    sys::access(c.p("f"), X_OK).unwrap();
    mkdir(c.p("d"), 0).unwrap();
    touch(c.p("d/f"));
    assert_eq!(ls(c.p("d")), ["f"]);
}

fn execute_only(c: &Ctx<'_>) {
    std::fs::copy("/bin/true", c.p("true")).unwrap();
    chmod(c.p("true"), 0o711).unwrap();
    as_user(1000, || {
        fails(open(c.p("true"), O_RDONLY), EACCES);
        assert!(std::process::Command::new(c.p("true")).status().unwrap().success());
    });
}

fn write_only_append(c: &Ctx<'_>) {
    put(c.p("f"), b"a");
    chmod(c.p("f"), 0o222).unwrap();
    as_user(1000, || {
        let fd = open(c.p("f"), O_WRONLY | O_APPEND).unwrap();
        sys::write(&fd, b"b").unwrap();
    });
    assert_eq!(slurp(c.p("f")), b"ab");
}

fn fsuid_decides(c: &Ctx<'_>) {
    touch(c.p("f"));
    chmod(c.p("f"), 0o600).unwrap();
    child(|| {
        // SAFETY: no pointers.
        unsafe { libc::setfsuid(1000) };
        fails(open(c.p("f"), O_RDONLY), EACCES);
        // access(2) asks for the real uid, which is still 0.
        sys::access(c.p("f"), R_OK).unwrap();
    });
}
