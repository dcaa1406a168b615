//! name_to_handle_at and open_by_handle_at.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::consts::*;
use crate::proc::eventually;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["handle";
    nobody: needs_privilege, too_small_a_buffer, of_missing;
    root: of_file, of_directory, of_linked, of_renamed, of_moved, of_unlinked_and_open, of_unlinked_is_stale, of_removed_directory_is_stale, of_symlink, of_fifo, survives_cache_drop, directory_children, differs_by_object, same_by_name,
        not_reused, garbage_is_stale, empty_path_form, mount_id, many, of_deep_directory, parent_of_directory, fid_only;
];

#[repr(C)]
#[derive(Clone, PartialEq, Debug)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

fn handle_at(p: &Path, flags: i32) -> R<(Handle, i32)> {
    let mut handle = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let (mut id, path) = (0i32, sys::c(p));
    crate::syscall!(libc::SYS_name_to_handle_at, libc::AT_FDCWD, path.as_ptr(), &mut handle, &mut id, flags)?;
    Ok((handle, id))
}

fn handle(p: impl AsP) -> Handle {
    handle_at(p.as_ref(), 0).expect("name_to_handle_at").0
}

fn by_handle(c: &Ctx<'_>, handle: &Handle, flags: i32) -> R<OwnedFd> {
    let mount = open(c.mountpoint(), O_RDONLY | O_DIRECTORY).unwrap();
    let fd = crate::syscall!(libc::SYS_open_by_handle_at, mount.as_raw_fd(), handle, flags)?;
    owned(fd as i32)
}

/// A handle of what is gone becomes stale; a close that is still under way may delay it.
#[track_caller]
fn becomes_stale(c: &Ctx<'_>, handle: &Handle) {
    let what = "the handle of an unlinked object is stale";
    eventually(what, || match by_handle(c, handle, O_RDONLY) {
        Ok(_) => false,
        Err(e) => {
            assert_eq!(e, ESTALE);
            true
        }
    });
}

fn needs_privilege(c: &Ctx<'_>) {
    touch(c.p("f"));
    if crate::proc::ids().0 != 0 {
        fails(by_handle(c, &handle(c.p("f")), O_RDONLY), EPERM);
    }
}

fn too_small_a_buffer(c: &Ctx<'_>) {
    touch(c.p("f"));
    let mut handle = Handle { bytes: 0, kind: 0, data: [0; 128] };
    let (mut id, path) = (0i32, sys::c(c.p("f")));
    let got = crate::syscall!(libc::SYS_name_to_handle_at, libc::AT_FDCWD, path.as_ptr(), &mut handle, &mut id, 0);
    assert_eq!((got, handle.bytes), (Err(EOVERFLOW), 12));
}

fn of_missing(c: &Ctx<'_>) {
    fails(handle_at(&c.p("no"), 0), ENOENT);
}

fn of_file(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let fd = by_handle(c, &handle(c.p("f")), O_RDWR).unwrap();
    assert_eq!(fstat(&fd), stat(c.p("f")));
    assert_eq!(pread(&fd, 9, 0), Ok(b"data".to_vec()));
    sys::write(&fd, b"DATA").unwrap();
    assert_eq!(slurp(c.p("f")), b"DATA");
}

fn of_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let fd = by_handle(c, &handle(c.p("d")), O_RDONLY | O_DIRECTORY).unwrap();
    openat(&fd, "f", O_CREAT | O_RDWR, 0o600).unwrap();
    assert_eq!(ls(c.p("d")), ["f"]);
}

fn of_linked(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let before = handle(c.p("f"));
    link(c.p("f"), c.p("g")).unwrap();
    unlink(c.p("f")).unwrap();
    assert_eq!(handle(c.p("g")), before);
    assert_eq!(pread(&by_handle(c, &before, O_RDONLY).unwrap(), 9, 0), Ok(b"data".to_vec()));
}

fn of_renamed(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    let before = handle(c.p("f"));
    rename(c.p("f"), c.p("g")).unwrap();
    assert_eq!(fstat(&by_handle(c, &before, O_RDONLY).unwrap()), stat(c.p("g")));
}

fn of_moved(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    mkdir(c.p("e"), 0o700).unwrap();
    put(c.p("d/f"), b"data");
    let (file, dir) = (handle(c.p("d/f")), handle(c.p("d")));
    rename(c.p("d"), c.p("e/d")).unwrap();
    assert_eq!(fstat(&by_handle(c, &file, O_RDONLY).unwrap()), stat(c.p("e/d/f")));
    let fd = by_handle(c, &dir, O_RDONLY).unwrap();
    let up = openat(&fd, "..", O_RDONLY, 0).unwrap();
    assert_eq!(fstat(&up).unwrap().ino, stat(c.p("e")).unwrap().ino);
}

fn of_unlinked_and_open(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    let before = handle(c.p("f"));
    unlink(c.p("f")).unwrap();
    // shmem_fh_to_dentry finds only what is still in the inode hash: an unlinked, open file is.
    let again = by_handle(c, &before, O_RDONLY);
    if c.differs() {
        fails(again, ESTALE);
        return;
    }
    assert_eq!(pread(&again.unwrap(), 9, 0), Ok(b"data".to_vec()));
    drop(fd);
}

fn of_unlinked_is_stale(c: &Ctx<'_>) {
    touch(c.p("f"));
    let before = handle(c.p("f"));
    unlink(c.p("f")).unwrap();
    becomes_stale(c, &before);
}

fn of_removed_directory_is_stale(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let before = handle(c.p("d"));
    rmdir(c.p("d")).unwrap();
    becomes_stale(c, &before);
}

fn of_symlink(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    symlink("f", c.p("l")).unwrap();
    let link = handle(c.p("l"));
    assert_ne!(link, handle(c.p("f")));
    let fd = by_handle(c, &link, O_PATH).unwrap();
    assert_eq!(fstat(&fd).unwrap().kind(), S_IFLNK);
    fails(by_handle(c, &link, O_RDONLY), ELOOP);
    assert_eq!(handle_at(&c.p("l"), AT_SYMLINK_FOLLOW).unwrap().0, handle(c.p("f")));
}

fn of_fifo(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    let fd = by_handle(c, &handle(c.p("n")), O_RDWR | O_NONBLOCK).unwrap();
    assert_eq!(fstat(&fd).unwrap().kind(), S_IFIFO);
}

fn survives_cache_drop(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    put(c.p("d/f"), b"data");
    let (file, dir) = (handle(c.p("d/f")), handle(c.p("d")));
    // Dentries and inodes of a FUSE mount can be forgotten; the handle must bring them back.
    std::fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    assert_eq!(pread(&by_handle(c, &file, O_RDONLY).unwrap(), 9, 0), Ok(b"data".to_vec()));
    std::fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    let fd = by_handle(c, &dir, O_RDONLY).unwrap();
    assert_eq!(pread(&openat(&fd, "f", O_RDONLY, 0).unwrap(), 9, 0), Ok(b"data".to_vec()));
}

fn directory_children(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b")).unwrap();
    put(c.p("a/b/f"), b"data");
    let fd = by_handle(c, &handle(c.p("a")), O_PATH | O_DIRECTORY).unwrap();
    assert_eq!(pread(&openat(&fd, "b/f", O_RDONLY, 0).unwrap(), 9, 0), Ok(b"data".to_vec()));
}

fn differs_by_object(c: &Ctx<'_>) {
    let mut seen = Vec::new();
    for i in 0..50 {
        touch(c.p(&i.to_string()));
        let new = handle(c.p(&i.to_string()));
        assert!(!seen.contains(&new));
        seen.push(new);
    }
}

fn same_by_name(c: &Ctx<'_>) {
    touch(c.p("f"));
    link(c.p("f"), c.p("g")).unwrap();
    assert_eq!((handle(c.p("f")), handle(&c.dir)), (handle(c.p("g")), handle(c.p("."))));
}

fn not_reused(c: &Ctx<'_>) {
    let mut old = Vec::new();
    for _ in 0..20 {
        touch(c.p("f"));
        old.push(handle(c.p("f")));
        unlink(c.p("f")).unwrap();
    }
    touch(c.p("f"));
    old.iter().for_each(|h| fails(by_handle(c, h, O_RDONLY), ESTALE));
    by_handle(c, &handle(c.p("f")), O_RDONLY).unwrap();
}

fn garbage_is_stale(c: &Ctx<'_>) {
    touch(c.p("f"));
    let mut wrong = handle(c.p("f"));
    wrong.data[1] ^= 0x55;
    wrong.data[5] ^= 0x55;
    fails(by_handle(c, &wrong, O_RDONLY), ESTALE);
    wrong.kind = 77;
    fails(by_handle(c, &wrong, O_RDONLY), ESTALE);
    wrong.bytes = 0;
    fails(by_handle(c, &wrong, O_RDONLY), EINVAL);
    wrong.bytes = 129;
    fails(by_handle(c, &wrong, O_RDONLY), EINVAL);
}

fn empty_path_form(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let mut found = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let mut id = 0i32;
    let flags = AT_EMPTY_PATH;
    let got = crate::syscall!(libc::SYS_name_to_handle_at, fd.as_raw_fd(), c"".as_ptr(), &mut found, &mut id, flags);
    assert_eq!((got, found), (Ok(0), handle(c.p("f"))));
}

fn mount_id(c: &Ctx<'_>) {
    touch(c.p("f"));
    let (_, file) = handle_at(&c.p("f"), 0).unwrap();
    let (_, root) = handle_at(c.mountpoint(), 0).unwrap();
    assert_eq!(file, root);
}

fn many(c: &Ctx<'_>) {
    let handles: Vec<_> = (0..500)
        .map(|i| {
            let name = i.to_string();
            put(c.p(&name), name.as_bytes());
            (name.clone(), handle(c.p(&name)))
        })
        .collect();
    std::fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    for (name, handle) in handles.iter().rev() {
        assert_eq!(pread(&by_handle(c, handle, O_RDONLY).unwrap(), 9, 0), Ok(name.clone().into_bytes()));
    }
}

fn of_deep_directory(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b/c/d/e")).unwrap();
    let deep = handle(c.p("a/b/c/d/e"));
    std::fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    let fd = by_handle(c, &deep, O_RDONLY | O_DIRECTORY).unwrap();
    let top = openat(&fd, "../../../../..", O_RDONLY, 0).unwrap();
    assert_eq!(fstat(&top).unwrap().ino, stat(&c.dir).unwrap().ino);
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    assert_eq!(name, c.p("a/b/c/d/e"));
}

fn parent_of_directory(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b")).unwrap();
    let b = handle(c.p("a/b"));
    rename(c.p("a/b"), c.p("b")).unwrap();
    let fd = by_handle(c, &b, O_RDONLY | O_DIRECTORY).unwrap();
    assert_eq!(fstat(&openat(&fd, "..", O_RDONLY, 0).unwrap()).unwrap().ino, stat(&c.dir).unwrap().ino);
}

fn fid_only(c: &Ctx<'_>) {
    // AT_HANDLE_FID: an identity only, which cannot be opened but can be compared.
    touch(c.p("f"));
    let one = handle_at(&c.p("f"), 0x200).unwrap().0;
    assert_eq!(handle_at(&c.p("f"), 0x200).unwrap().0, one);
}
