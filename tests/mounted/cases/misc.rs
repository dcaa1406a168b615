//! chmod, chown, access, statx, ioctl, and what no other topic names.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::{child, ids};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["misc";
    nobody: statx_fields, statx_birth, statx_attributes, statx_mount_root, statx_no_sync, ioctl_block_size, ioctl_flags, ioctl_unknown, ioctl_fionread, pathconf_values, device_number_is_one, blksize_everywhere, closing_twice, getcwd_inside, rename_cwd, openat2_beneath, openat2_no_symlinks, at_functions, file_type_of_proc_fd, close_range_leaves_files, same_directory_by_two_paths, syncfs_call, name_after_reuse, swap_refused, quota_refused, acct_like_append, write_lots_of_small_files, stat_is_stable, seals_are_refused, ftruncate_then_stat_by_name, sem_names, concurrent_excl, copy_tree, remove_tree, sparse_file_by_dd, fstatfs_type, creates_after_rmdir_of_parent, readlink_of_cwd, tmp_then_rename_over_open;
    root: immutable_flag, pivot_like_move;
];

fn statx(p: &std::path::Path, flags: i32, mask: u32) -> R<libc::statx> {
    let path = sys::c(p);
    // SAFETY: all-zero is a valid statx, and it is writable.
    unsafe {
        let mut st: libc::statx = std::mem::zeroed();
        check(libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, mask, &mut st))?;
        Ok(st)
    }
}

fn statx_fields(c: &Ctx<'_>) {
    put(c.p("f"), &[1; 5000]);
    let (x, st) = (statx(&c.p("f"), 0, libc::STATX_BASIC_STATS).unwrap(), stat(c.p("f")).unwrap());
    assert_eq!(x.stx_mask & libc::STATX_BASIC_STATS, libc::STATX_BASIC_STATS);
    assert_eq!((u32::from(x.stx_mode), x.stx_size, x.stx_blocks, x.stx_ino), (st.mode, 5000, 16, st.ino));
    assert_eq!((x.stx_mtime.tv_sec, i64::from(x.stx_mtime.tv_nsec), x.stx_nlink, x.stx_blksize), (st.mtime.0, st.mtime.1, 1, 4096));
}

fn statx_birth(c: &Ctx<'_>) {
    touch(c.p("f"));
    let born = statx(&c.p("f"), 0, libc::STATX_BTIME).unwrap();
    if c.differs() {
        assert_eq!(born.stx_mask & libc::STATX_BTIME, 0);
        return;
    }
    assert_ne!(born.stx_mask & libc::STATX_BTIME, 0);
    let st = stat(c.p("f")).unwrap();
    assert_eq!((born.stx_btime.tv_sec, i64::from(born.stx_btime.tv_nsec)), st.ctime);
}

fn statx_attributes(c: &Ctx<'_>) {
    touch(c.p("f"));
    let x = statx(&c.p("f"), 0, libc::STATX_BASIC_STATS).unwrap();
    assert_eq!(x.stx_attributes, 0);
}

fn statx_mount_root(c: &Ctx<'_>) {
    let x = statx(c.mountpoint(), 0, libc::STATX_BASIC_STATS).unwrap();
    assert_ne!(x.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64, 0);
    let inside = statx(&c.dir, 0, libc::STATX_BASIC_STATS).unwrap();
    assert_eq!(inside.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64, 0);
}

fn statx_no_sync(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 100]);
    for sync in [libc::AT_STATX_SYNC_AS_STAT, libc::AT_STATX_FORCE_SYNC, libc::AT_STATX_DONT_SYNC] {
        assert_eq!(statx(&c.p("f"), sync, libc::STATX_SIZE).unwrap().stx_size, 100);
    }
    sys::write(&fd, &[1; 100]).unwrap();
    assert_eq!(statx(&c.p("f"), libc::AT_STATX_FORCE_SYNC, libc::STATX_SIZE).unwrap().stx_size, 200);
}

fn ioctl(fd: &impl AsRawFd, request: u64) -> R<i64> {
    let mut answer = 0i64;
    // SAFETY: eight writable bytes, enough for each request used here.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &mut answer) })?;
    Ok(answer)
}

const FIGETBSZ: u64 = 2;
const FS_IOC_GETFLAGS: u64 = 0x8008_6601;
const FS_IOC_SETFLAGS: u64 = 0x4008_6602;

fn ioctl_block_size(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    assert_eq!(ioctl(&fd, FIGETBSZ), Ok(4096));
    assert_eq!(ioctl(&open(&c.dir, O_RDONLY).unwrap(), FIGETBSZ), Ok(4096));
}

fn ioctl_flags(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    if c.differs() {
        fails(ioctl(&fd, FS_IOC_GETFLAGS), ENOTTY);
        fails(ioctl(&open(&c.dir, O_RDONLY).unwrap(), FS_IOC_GETFLAGS), ENOTTY);
        return;
    }
    assert_eq!(ioctl(&fd, FS_IOC_GETFLAGS), Ok(0));
    assert_eq!(ioctl(&fd, FS_IOC_SETFLAGS), Ok(0));
}

fn ioctl_unknown(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    fails(ioctl(&fd, 0x5401), ENOTTY);
    fails(ioctl(&fd, 0x1234_5678), ENOTTY);
    fails(ioctl(&open(&c.dir, O_RDONLY).unwrap(), 0x5401), ENOTTY);
}

fn ioctl_fionread(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 100]);
    lseek(&fd, 30, SEEK_SET).unwrap();
    assert_eq!(ioctl(&fd, 0x541b), Ok(70));
}

fn pathconf_values(c: &Ctx<'_>) {
    let path = sys::c(&c.dir);
    // SAFETY: a NUL-terminated path.
    let conf = |name| unsafe { libc::pathconf(path.as_ptr(), name) };
    assert_eq!((conf(libc::_PC_NAME_MAX), conf(libc::_PC_PATH_MAX), conf(libc::_PC_NO_TRUNC)), (255, 4096, 1));
}

fn device_number_is_one(c: &Ctx<'_>) {
    use std::os::unix::fs::MetadataExt;
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    let dev = |p: &str| std::fs::metadata(c.p(p)).unwrap().dev();
    assert_eq!((dev("f"), dev("d")), (dev("."), dev(".")));
    assert_eq!(std::fs::metadata(c.mountpoint()).unwrap().dev(), dev("f"));
}

fn blksize_everywhere(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    for name in ["f", "l", "n", "."] {
        assert_eq!(lstat(c.p(name)).unwrap().blksize, 4096, "{name}");
    }
}

fn closing_twice(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    let raw = fd.as_raw_fd();
    drop(fd);
    // SAFETY: a closed number; nothing else opens one in between.
    assert_eq!(check(unsafe { libc::close(raw) }), Err(EBADF));
}

fn getcwd_inside(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b")).unwrap();
    chdir(c.p("a/b")).unwrap();
    assert_eq!(std::env::current_dir().unwrap(), c.p("a/b"));
    assert_eq!(std::fs::canonicalize("../../a/./b").unwrap(), c.p("a/b"));
}

fn rename_cwd(c: &Ctx<'_>) {
    mkdir(c.p("a"), 0o700).unwrap();
    chdir(c.p("a")).unwrap();
    rename(c.p("a"), c.p("b")).unwrap();
    touch("f");
    assert_eq!((std::env::current_dir().unwrap(), ls(c.p("b"))), (c.p("b"), vec!["f".to_string()]));
}

fn openat2(c: &Ctx<'_>, path: &str, resolve: u64) -> R<i64> {
    #[repr(C)]
    struct How(u64, u64, u64);
    let (dir, how, path) = (open(&c.dir, O_PATH).unwrap(), How(0, 0, resolve), std::ffi::CString::new(path).unwrap());
    let fd = crate::syscall!(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), &how, 24usize)?;
    drop(owned(fd as i32));
    Ok(0)
}

fn openat2_beneath(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("d")).unwrap();
    touch(c.p("d/f"));
    symlink("/etc/passwd", c.p("out")).unwrap();
    symlink("d/f", c.p("in")).unwrap();
    assert_eq!((openat2(c, "d/f", libc::RESOLVE_BENEATH), openat2(c, "in", libc::RESOLVE_BENEATH)), (Ok(0), Ok(0)));
    fails(openat2(c, "../x", libc::RESOLVE_BENEATH), EXDEV);
    fails(openat2(c, "out", libc::RESOLVE_BENEATH), EXDEV);
}

fn openat2_no_symlinks(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    fails(openat2(c, "l", libc::RESOLVE_NO_SYMLINKS), ELOOP);
    assert_eq!(openat2(c, "f", libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV), Ok(0));
}

fn at_functions(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let dir = open(c.p("d"), O_RDONLY).unwrap();
    rename(c.p("d"), c.p("e")).unwrap();
    // SAFETY: NUL-terminated names.
    unsafe {
        assert_eq!(libc::mkdirat(dir.as_raw_fd(), c"sub".as_ptr(), 0o700), 0);
        assert_eq!(libc::symlinkat(c"sub".as_ptr(), dir.as_raw_fd(), c"l".as_ptr()), 0);
        assert_eq!(libc::mkfifoat(dir.as_raw_fd(), c"n".as_ptr(), 0o600), 0);
        assert_eq!(libc::renameat(dir.as_raw_fd(), c"n".as_ptr(), dir.as_raw_fd(), c"m".as_ptr()), 0);
    }
    assert_eq!(ls(c.p("e")), ["l", "m", "sub"]);
    let file = put(c.p("f"), b"");
    fails(openat(&file, "x", O_RDONLY, 0), ENOTDIR);
}

fn file_type_of_proc_fd(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    assert_eq!(lstat(&link).unwrap().kind(), S_IFLNK);
    assert_eq!(stat(&link), fstat(&fd));
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap();
    assert!(info.contains("pos:\t0"), "{info}");
}

fn close_range_leaves_files(c: &Ctx<'_>) {
    let path = c.p("f");
    child(|| {
        let fd = put(&path, b"data");
        // SAFETY: closes every descriptor of this child.
        unsafe { libc::close_range(fd.as_raw_fd() as u32, u32::MAX, 0) };
        std::mem::forget(fd);
    });
    assert_eq!(slurp(&path), b"data");
}

fn same_directory_by_two_paths(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("d", c.p("l")).unwrap();
    for i in 0..50 {
        touch(c.p(&format!("l/{i}")));
        unlink(c.p(&format!("d/{i}"))).unwrap();
        fails(stat(c.p(&format!("l/{i}"))), ENOENT);
    }
}

fn syncfs_call(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 100_000]);
    // SAFETY: no pointers.
    unsafe {
        assert_eq!(libc::syncfs(fd.as_raw_fd()), 0);
        libc::sync();
    }
}

fn name_after_reuse(c: &Ctx<'_>) {
    for i in 0..200u32 {
        let name = c.p("same");
        match i % 4 {
            0 => drop(put(&name, &i.to_le_bytes())),
            1 => mkdir(&name, 0o700).unwrap(),
            2 => symlink(i.to_string(), &name).unwrap(),
            _ => mknod(&name, S_IFIFO | 0o600, 0).unwrap(),
        }
        let kinds = [S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO];
        assert_eq!(lstat(&name).unwrap().kind(), kinds[i as usize % 4]);
        if i % 4 == 1 { rmdir(&name).unwrap() } else { unlink(&name).unwrap() }
        fails(lstat(&name), ENOENT);
    }
}

fn swap_refused(c: &Ctx<'_>) {
    put(c.p("f"), &[0; 65_536]);
    let path = sys::c(c.p("f"));
    // SAFETY: a NUL-terminated path.
    let got = check(unsafe { libc::swapon(path.as_ptr(), 0) });
    assert_eq!(got, Err(if ids().0 == 0 { EINVAL } else { EPERM }));
}

fn quota_refused(c: &Ctx<'_>) {
    let path = sys::c(&c.dir);
    // SAFETY: a NUL-terminated path; Q_SYNC of user quotas.
    let got = crate::syscall!(libc::SYS_quotactl, (0x80_0001i64 << 8) as i32, path.as_ptr(), 0, 0);
    assert_eq!(got, Err(ENOTBLK));
}

/// What quotactl says of a path that is no block device.
const ENOTBLK: E = E(libc::ENOTBLK);

fn acct_like_append(c: &Ctx<'_>) {
    let kids: Vec<_> = (0..4u8)
        .map(|id| {
            crate::proc::spawn(move || {
                let fd = open(c.p("log"), O_CREAT | O_WRONLY | O_APPEND).unwrap();
                for _ in 0..250 {
                    assert_eq!(sys::write(&fd, &[b'a' + id; 100]), Ok(100));
                }
            })
        })
        .collect();
    kids.into_iter().for_each(crate::proc::Kid::join);
    let log = slurp(c.p("log"));
    assert_eq!(log.len(), 100_000);
    assert!(log.chunks(100).all(|r| r.iter().all(|b| b == &r[0])), "an append was torn or lost");
}

fn write_lots_of_small_files(c: &Ctx<'_>) {
    for i in 0..300 {
        put(c.p(&i.to_string()), &vec![i as u8; i]);
    }
    assert!((0..300).all(|i| slurp(c.p(&i.to_string())) == vec![i as u8; i]));
}

fn stat_is_stable(c: &Ctx<'_>) {
    put(c.p("f"), &[1; 5_000]);
    let first = stat(c.p("f")).unwrap();
    crate::proc::tick();
    for _ in 0..20 {
        let fd = open(c.p("f"), O_RDWR).unwrap();
        assert_eq!((stat(c.p("f")), fstat(&fd)), (Ok(first), Ok(first)));
    }
}

fn seals_are_refused(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    // SAFETY: no pointers.
    let (get, add) = unsafe {
        (check(libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS)), check(libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_GROW)))
    };
    if c.differs() {
        assert_eq!((get, add), (Err(EINVAL), Err(EINVAL)));
        return;
    }
    // A file on a mounted tmpfs is born sealed against seals.
    assert_eq!((get, add), (Ok(libc::F_SEAL_SEAL), Err(EPERM)));
}

fn ftruncate_then_stat_by_name(c: &Ctx<'_>) {
    // shm_open, ftruncate, and another process that waits for the size by name.
    let fd = put(c.p("f"), b"");
    for size in [1, 4096, 1 << 20, 0] {
        ftruncate(&fd, size).unwrap();
        child(|| assert_eq!(stat(c.p("f")).unwrap().size, size));
    }
}

fn sem_names(c: &Ctx<'_>) {
    for name in ["sem.a", "sem.", ".sem", "sem.mp-abc_1"] {
        put(c.p(name), &[0; 32]);
    }
    assert_eq!(ls(&c.dir).len(), 4);
}

fn concurrent_excl(c: &Ctx<'_>) {
    // Of eight processes that create one name exclusively, one wins; the others see EEXIST.
    for round in 0..20 {
        let name = c.p(&format!("lock{round}"));
        let wins = crate::proc::shared(&put(c.p("wins"), &[0; 64]), 64);
        let kids: Vec<_> = (0..8)
            .map(|i| {
                let (name, wins) = (&name, &wins);
                crate::proc::spawn(move || match open(name, O_CREAT | O_EXCL | O_RDWR) {
                    Ok(_) => wins.set(i, 1),
                    Err(e) => assert_eq!(e, EEXIST),
                })
            })
            .collect();
        kids.into_iter().for_each(crate::proc::Kid::join);
        assert_eq!(wins.copy(0, 8).iter().map(|&w| u32::from(w)).sum::<u32>(), 1);
    }
}

fn run(program: &str, args: &[&std::ffi::OsStr]) {
    let status = std::process::Command::new(program).args(args).status().unwrap_or_else(|e| panic!("run {program}: {e}"));
    assert!(status.success(), "{program}: {status}");
}

fn copy_tree(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b/c")).unwrap();
    put(c.p("a/f"), b"data");
    chmod(c.p("a/f"), 0o741).unwrap();
    link(c.p("a/f"), c.p("a/b/g")).unwrap();
    symlink("../f", c.p("a/b/l")).unwrap();
    mknod(c.p("a/n"), S_IFIFO | 0o640, 0).unwrap();
    setxattr(c.p("a/f"), "user.x", b"1", 0).unwrap();
    utimens(c.p("a/f"), Some([(100, 1), (200, 2)]), 0).unwrap();
    run("cp", &["-a".as_ref(), c.p("a").as_ref(), c.p("copy").as_ref()]);
    let (from, to) = (stat(c.p("a/f")).unwrap(), stat(c.p("copy/f")).unwrap());
    assert_eq!((to.mode, to.nlink, to.size, to.mtime), (from.mode, 2, 4, (200, 2)));
    assert_eq!(getxattr(c.p("copy/f"), "user.x"), Ok(b"1".to_vec()));
    assert_eq!((readlink(c.p("copy/b/l")), stat(c.p("copy/n")).unwrap().kind()), (Ok(b"../f".to_vec()), S_IFIFO));
    run("diff", &["-r".as_ref(), "--no-dereference".as_ref(), c.p("a/b").as_ref(), c.p("copy/b").as_ref()]);
}

fn remove_tree(c: &Ctx<'_>) {
    for i in 0..10 {
        std::fs::create_dir_all(c.p(&format!("t/{i}/x/y"))).unwrap();
        for j in 0..20 {
            touch(c.p(&format!("t/{i}/x/{j}")));
        }
    }
    run("rm", &["-r".as_ref(), c.p("t").as_ref()]);
    assert_eq!((ls(&c.dir).len(), stat(&c.dir).unwrap().nlink), (0, 2));
}

fn sparse_file_by_dd(c: &Ctx<'_>) {
    let of = format!("of={}", c.p("f").display());
    let args = ["if=/dev/zero", &of, "bs=1k", "count=3", "seek=1000", "status=none"];
    run("dd", &args.map(std::ffi::OsStr::new));
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.size, st.blocks), (1_027_072, 8));
}

fn fstatfs_type(c: &Ctx<'_>) {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let kind = statfs(&c.dir).unwrap().f_type;
    if c.differs() {
        assert_eq!(kind, 0x6573_5546);
        return;
    }
    assert_eq!(kind, TMPFS_MAGIC);
}

fn creates_after_rmdir_of_parent(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let dir = open(c.p("d"), O_RDONLY).unwrap();
    rmdir(c.p("d")).unwrap();
    mkdir(c.p("d"), 0o700).unwrap();
    fails(openat(&dir, "f", O_CREAT | O_RDWR, 0o600), ENOENT);
    touch(c.p("d/f"));
    fails(openat(&dir, "f", O_RDONLY, 0), ENOENT);
    // The old directory's `..` still leads to where it was.
    assert_eq!(fstat(&openat(&dir, "..", O_RDONLY, 0).unwrap()).unwrap().ino, stat(&c.dir).unwrap().ino);
}

fn readlink_of_cwd(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    chdir(c.p("d")).unwrap();
    rmdir(c.p("d")).unwrap();
    let name = std::fs::read_link("/proc/self/cwd").unwrap();
    assert_eq!(name.to_string_lossy(), format!("{} (deleted)", c.p("d").display()));
}

fn tmp_then_rename_over_open(c: &Ctx<'_>) {
    // The atomic replacement of a file that readers hold open.
    put(c.p("f"), b"0");
    let readers: Vec<_> = (1..20)
        .map(|i| {
            let reader = open(c.p("f"), O_RDONLY).unwrap();
            put(c.p("f.tmp"), i.to_string().as_bytes());
            rename(c.p("f.tmp"), c.p("f")).unwrap();
            reader
        })
        .collect();
    for (i, reader) in readers.iter().enumerate() {
        assert_eq!(pread(reader, 9, 0), Ok(i.to_string().into_bytes()));
    }
}

fn immutable_flag(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    let mut flags = 0x10i64;
    // SAFETY: FS_IOC_SETFLAGS reads one word.
    let got = check(unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_SETFLAGS as _, &mut flags) }).map(drop);
    if c.differs() {
        fails(got, ENOTTY);
        return;
    }
    got.unwrap();
    fails(unlink(c.p("f")), EPERM);
    fails(open(c.p("f"), O_WRONLY), EPERM);
    flags = 0;
    // SAFETY: as above.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_SETFLAGS as _, &mut flags) }).unwrap();
    unlink(c.p("f")).unwrap();
}

fn pivot_like_move(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("old/deep")).unwrap();
    put(c.p("old/deep/f"), b"data");
    let held = open(c.p("old/deep"), O_RDONLY).unwrap();
    mkdir(c.p("new"), 0o755).unwrap();
    rename(c.p("old/deep"), c.p("new/deep")).unwrap();
    rmdir(c.p("old")).unwrap();
    let name = std::fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).unwrap();
    assert_eq!((name, slurp(c.p("new/deep/f"))), (c.p("new/deep"), b"data".to_vec()));
}
