//! copy_file_range, sendfile, splice, tee and friends.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::consts::*;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["copy";
    nobody: whole, offsets, file_positions, beyond_the_end, short_at_the_end, zero_length, same_file, overlap, same_range, flags, readonly_target, writeonly_source,
        append_target, directory, fifo, holes, grows_target, into_the_middle, big, across_file_systems, from_other_file_system, unlinked, sendfile_from, sendfile_to_pipe, splice_to_pipe_and_back,
        vmsplice_page, clone_not_supported, dedupe_not_supported, std_copy, cp_sparse;
];

fn copy(from: &OwnedFd, at: i64, to: &OwnedFd, to_at: i64, len: usize, flags: u32) -> R<i64> {
    let (mut at, mut to_at) = (at, to_at);
    crate::syscall!(libc::SYS_copy_file_range, from.as_raw_fd(), &mut at, to.as_raw_fd(), &mut to_at, len, flags)
}

fn pair(c: &Ctx<'_>) -> (OwnedFd, OwnedFd) {
    let data: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    (put(c.p("f"), &data), put(c.p("g"), b""))
}

fn whole(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    assert_eq!(copy(&f, 0, &g, 0, 10_000, 0), Ok(10_000));
    assert_eq!(slurp(c.p("g")), slurp(c.p("f")));
}

fn offsets(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    assert_eq!(copy(&f, 5, &g, 3, 4, 0), Ok(4));
    assert_eq!(slurp(c.p("g")), b"\0\0\0\x05\x06\x07\x08");
    assert_eq!((lseek(&f, 0, SEEK_CUR), lseek(&g, 0, SEEK_CUR)), (Ok(10_000), Ok(0)));
}

fn file_positions(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    lseek(&f, 100, SEEK_SET).unwrap();
    lseek(&g, 10, SEEK_SET).unwrap();
    let n = crate::syscall!(libc::SYS_copy_file_range, f.as_raw_fd(), 0, g.as_raw_fd(), 0, 50, 0);
    assert_eq!((n, lseek(&f, 0, SEEK_CUR), lseek(&g, 0, SEEK_CUR)), (Ok(50), Ok(150), Ok(60)));
    assert_eq!(fstat(&g).unwrap().size, 60);
}

fn beyond_the_end(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    assert_eq!((copy(&f, 10_000, &g, 0, 10, 0), copy(&f, 1 << 40, &g, 0, 10, 0)), (Ok(0), Ok(0)));
    assert_eq!(fstat(&g).unwrap().size, 0);
}

fn short_at_the_end(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    assert_eq!(copy(&f, 9_990, &g, 0, 5_000, 0), Ok(10));
    assert_eq!(fstat(&g).unwrap().size, 10);
}

fn zero_length(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    assert_eq!(copy(&f, 0, &g, 100, 0, 0), Ok(0));
    assert_eq!(fstat(&g).unwrap().size, 0);
}

fn same_file(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    assert_eq!(copy(&f, 0, &f, 20_000, 5_000, 0), Ok(5_000));
    let data = slurp(c.p("f"));
    assert_eq!((data.len(), &data[20_000..], &data[10_000..20_000]), (25_000, &data[..5_000], &[0; 10_000][..]));
}

fn overlap(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    let again = open(c.p("f"), O_RDWR).unwrap();
    fails(copy(&f, 0, &f, 100, 200, 0), EINVAL);
    fails(copy(&f, 100, &again, 0, 101, 0), EINVAL);
    assert_eq!(copy(&f, 0, &again, 200, 200, 0), Ok(200));
}

fn same_range(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    fails(copy(&f, 0, &f, 0, 100, 0), EINVAL);
}

fn flags(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    fails(copy(&f, 0, &g, 0, 10, 1), EINVAL);
}

fn readonly_target(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    let g = open(c.p("g"), O_RDONLY).unwrap();
    fails(copy(&f, 0, &g, 0, 10, 0), EBADF);
}

fn writeonly_source(c: &Ctx<'_>) {
    let (_, g) = pair(c);
    let f = open(c.p("f"), O_WRONLY).unwrap();
    fails(copy(&f, 0, &g, 0, 10, 0), EBADF);
}

fn append_target(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    let g = open(c.p("g"), O_WRONLY | O_APPEND).unwrap();
    fails(copy(&f, 0, &g, 0, 10, 0), EBADF);
}

fn directory(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    let dir = open(&c.dir, O_RDONLY).unwrap();
    fails(copy(&dir, 0, &g, 0, 10, 0), EISDIR);
    fails(copy(&f, 0, &dir, 0, 10, 0), EISDIR);
}

fn fifo(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    let n = open(c.p("n"), O_RDWR | O_NONBLOCK).unwrap();
    fails(copy(&n, 0, &g, 0, 10, 0), EINVAL);
    fails(copy(&f, 0, &n, 0, 10, 0), EINVAL);
}

fn holes(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    ftruncate(&f, 0).unwrap();
    ftruncate(&f, 1 << 20).unwrap();
    pwrite(&f, b"x", 500_000).unwrap();
    assert_eq!(copy(&f, 0, &g, 0, 1 << 20, 0), Ok(1 << 20));
    assert_eq!(slurp(c.p("g")), slurp(c.p("f")));
    // What it takes: generic splicing writes every page that it copies.
    assert_eq!((fstat(&f).unwrap().blocks, fstat(&g).unwrap().blocks), (8, 2048));
}

fn grows_target(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    assert_eq!(copy(&f, 0, &g, 50_000, 10, 0), Ok(10));
    let st = fstat(&g).unwrap();
    assert_eq!((st.size, st.blocks), (50_010, 8));
}

fn into_the_middle(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    let g = put(c.p("h"), &[9; 100]);
    assert_eq!(copy(&f, 0, &g, 50, 3, 0), Ok(3));
    let data = slurp(c.p("h"));
    assert_eq!((data.len(), &data[48..55]), (100, &[9, 9, 0, 1, 2, 9, 9][..]));
}

fn big(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    ftruncate(&f, 20 << 20).unwrap();
    pwrite(&f, b"end", (20 << 20) - 3).unwrap();
    let mut done = 0;
    while done < 20 << 20 {
        let n = copy(&f, done, &g, done, (20 << 20) - done as usize, 0).unwrap();
        assert!(n > 0, "stopped at {done}");
        done += n;
    }
    assert_eq!((done, pread(&g, 9, done - 3)), (20 << 20, Ok(b"end".to_vec())));
}

fn elsewhere() -> OwnedFd {
    // SAFETY: a static name.
    owned(unsafe { libc::memfd_create(c"elsewhere".as_ptr(), 0) }).unwrap()
}

fn across_file_systems(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    let other = elsewhere();
    fails(copy(&f, 0, &other, 0, 100, 0), EXDEV);
}

fn from_other_file_system(c: &Ctx<'_>) {
    let (_, g) = pair(c);
    let other = elsewhere();
    pwrite(&other, b"other", 0).unwrap();
    fails(copy(&other, 0, &g, 0, 100, 0), EXDEV);
    assert_eq!(fstat(&g).unwrap().size, 0);
}

fn unlinked(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    unlink(c.p("f")).unwrap();
    unlink(c.p("g")).unwrap();
    assert_eq!(copy(&f, 0, &g, 0, 100, 0), Ok(100));
    assert_eq!(pread(&g, 2, 98), Ok(vec![98, 99]));
}

fn sendfile_from(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    let mut at = 100;
    // SAFETY: a live offset.
    let n = unsafe { libc::sendfile(g.as_raw_fd(), f.as_raw_fd(), &mut at, 1_000) };
    assert_eq!((n, at, fstat(&g).unwrap().size, pread(&g, 2, 0)), (1_000, 1_100, 1_000, Ok(vec![100, 101])));
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: two descriptors fit.
    check(unsafe { libc::pipe(fds.as_mut_ptr()) }).unwrap();
    (owned(fds[0]).unwrap(), owned(fds[1]).unwrap())
}

fn sendfile_to_pipe(c: &Ctx<'_>) {
    let (f, _) = pair(c);
    let (out, into) = pipe();
    let mut at = 5;
    // SAFETY: a live offset.
    assert_eq!(unsafe { libc::sendfile(into.as_raw_fd(), f.as_raw_fd(), &mut at, 10) }, 10);
    assert_eq!(sys::read(&out, 99).unwrap()[..3], [5, 6, 7]);
}

fn splice_to_pipe_and_back(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    let (out, into) = pipe();
    let (mut from, mut to) = (1_000i64, 7i64);
    // SAFETY: live offsets.
    unsafe {
        assert_eq!(libc::splice(f.as_raw_fd(), &mut from, into.as_raw_fd(), std::ptr::null_mut(), 5_000, 0), 5_000);
        // The pipe holds pages of the file: a later write may or may not show in them, so none is made here.
        assert_eq!(libc::splice(out.as_raw_fd(), std::ptr::null_mut(), g.as_raw_fd(), &mut to, 5_000, 0), 5_000);
    }
    assert_eq!((from, to), (6_000, 5_007));
    assert_eq!(slurp(c.p("g"))[7..], slurp(c.p("f"))[1_000..6_000]);
}

fn vmsplice_page(c: &Ctx<'_>) {
    let (_, g) = pair(c);
    let (out, into) = pipe();
    let data = b"from memory";
    let iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: live buffers, no offsets.
    unsafe {
        assert_eq!(libc::vmsplice(into.as_raw_fd(), &iov, 1, 0), 11);
        let n = libc::splice(out.as_raw_fd(), std::ptr::null_mut(), g.as_raw_fd(), std::ptr::null_mut(), 11, 0);
        assert_eq!(n, 11);
    }
    assert_eq!(slurp(c.p("g")), data);
}

fn clone_not_supported(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    // SAFETY: FICLONE takes a descriptor.
    let got = check(unsafe { libc::ioctl(g.as_raw_fd(), 0x4004_9409, f.as_raw_fd()) });
    assert_eq!(got, Err(EOPNOTSUPP));
}

fn dedupe_not_supported(c: &Ctx<'_>) {
    let (f, g) = pair(c);
    #[repr(C)]
    struct Dedupe(u64, u64, u16, u16, u32, i64, u64, u64, i32, u32);
    let mut request = Dedupe(0, 4096, 1, 0, 0, i64::from(g.as_raw_fd()), 0, 0, 0, 0);
    // SAFETY: FIDEDUPERANGE with room for its one answer.
    let got = check(unsafe { libc::ioctl(f.as_raw_fd(), 0xc018_9436u32 as _, &mut request) });
    assert_eq!((got, request.8), (Err(EOPNOTSUPP), 0));
}

fn std_copy(c: &Ctx<'_>) {
    pair(c);
    chmod(c.p("f"), 0o751).unwrap();
    assert_eq!(std::fs::copy(c.p("f"), c.p("copy")).unwrap(), 10_000);
    assert_eq!((slurp(c.p("copy")), stat(c.p("copy")).unwrap().perm()), (slurp(c.p("f")), 0o751));
}

fn cp_sparse(c: &Ctx<'_>) {
    let fd = put(c.p("s"), b"");
    ftruncate(&fd, 1 << 20).unwrap();
    pwrite(&fd, b"x", 700_000).unwrap();
    let status = std::process::Command::new("cp").args(["--sparse=auto", "-p"]).arg(c.p("s")).arg(c.p("t")).status();
    assert!(status.expect("run cp").success());
    assert_eq!(slurp(c.p("t")), slurp(c.p("s")));
    assert_eq!((stat(c.p("t")).unwrap().blocks, stat(c.p("t")).unwrap().mtime), (8, stat(c.p("s")).unwrap().mtime));
}
