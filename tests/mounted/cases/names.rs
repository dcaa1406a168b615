//! Names as bytes, and their limits.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::consts::*;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["names";
    nobody: any_bytes, every_byte, case_matters, no_normalisation, longest_name, longest_name_in_bytes, longest_path, path_too_long, dots, spaces_and_dashes, hidden_names, looks_like_ours, dotdot_of_the_root,
        long_name_lookups, deep_tree, slashes_are_one, name_as_prefix, many_similar, fuse_hidden;
];

fn bytes(c: &Ctx<'_>, name: &[u8]) -> std::path::PathBuf {
    c.dir.join(OsStr::from_bytes(name))
}

fn names_of(p: impl AsP) -> Vec<Vec<u8>> {
    let mut names: Vec<_> =
        std::fs::read_dir(p.as_ref()).unwrap().map(|e| e.unwrap().file_name().as_bytes().to_vec()).collect();
    names.sort();
    names
}

fn any_bytes(c: &Ctx<'_>) {
    let names: [&[u8]; 7] = [b"\xff\xfe", b"\x80", b"\xc3\x28", b"new\nline", b"tab\t", b"\x01", b"\x7f"];
    for name in names {
        put(bytes(c, name), name);
    }
    let mut sorted = names.map(<[u8]>::to_vec).to_vec();
    sorted.sort();
    assert_eq!(names_of(&c.dir), sorted);
    names.iter().for_each(|name| assert_eq!(slurp(bytes(c, name)), *name));
    names.iter().for_each(|name| unlink(bytes(c, name)).unwrap());
}

fn every_byte(c: &Ctx<'_>) {
    for b in 1..=255u8 {
        if b != b'/' && b != b'.' {
            touch(bytes(c, &[b]));
        }
    }
    assert_eq!(names_of(&c.dir).len(), 253);
    touch(bytes(c, b"a.b"));
    assert_eq!(stat(&c.dir).unwrap().size, 40 + 254 * 20);
}

fn case_matters(c: &Ctx<'_>) {
    put(c.p("Name"), b"1");
    put(c.p("name"), b"2");
    assert_eq!((slurp(c.p("Name")), slurp(c.p("name"))), (b"1".to_vec(), b"2".to_vec()));
    fails(stat(c.p("NAME")), ENOENT);
}

fn no_normalisation(c: &Ctx<'_>) {
    touch(c.p("\u{e9}"));
    touch(c.p("e\u{301}"));
    assert_eq!(names_of(&c.dir).len(), 2);
}

fn longest_name(c: &Ctx<'_>) {
    let (max, over) = ("x".repeat(255), "x".repeat(256));
    put(c.p(&max), b"data");
    assert_eq!((slurp(c.p(&max)), ls(&c.dir)), (b"data".to_vec(), vec![max.clone()]));
    fails(open(c.p(&over), O_CREAT | O_RDWR), ENAMETOOLONG);
    fails(mkdir(c.p(&over), 0o700), ENAMETOOLONG);
    fails(symlink("x", c.p(&over)), ENAMETOOLONG);
    fails(mknod(c.p(&over), S_IFIFO | 0o600, 0), ENAMETOOLONG);
    fails(stat(c.p(&over)), ENAMETOOLONG);
    fails(unlink(c.p(&over)), ENAMETOOLONG);
    fails(rmdir(c.p(&over)), ENAMETOOLONG);
    fails(open(c.p(&format!("{over}/x")), O_RDONLY), ENAMETOOLONG);
}

fn longest_name_in_bytes(c: &Ctx<'_>) {
    let name = "\u{20ac}".repeat(85);
    touch(c.p(&name));
    assert_eq!((name.len(), ls(&c.dir)), (255, vec![name.clone()]));
    fails(open(c.p(&"\u{20ac}".repeat(86)), O_CREAT | O_RDWR), ENAMETOOLONG);
}

fn deep(len: usize) -> String {
    let mut path = String::new();
    while path.len() < len {
        path.push_str("./");
    }
    path
}

fn longest_path(c: &Ctx<'_>) {
    chdir(&c.dir).unwrap();
    put("f", b"data");
    let path = format!("{}f", deep(4094));
    assert_eq!((path.len(), slurp(&path)), (4095, b"data".to_vec()));
}

fn path_too_long(c: &Ctx<'_>) {
    chdir(&c.dir).unwrap();
    let path = format!("{}ff", deep(4094));
    for got in [open(&path, O_CREAT | O_RDWR).map(drop), mkdir(&path, 0o700), rename("f", &path), stat(&path).map(drop)] {
        fails(got, ENAMETOOLONG);
    }
}

fn dots(c: &Ctx<'_>) {
    for name in ["...", "..a", ".a", "a.", "a..", "...."] {
        touch(c.p(name));
    }
    assert_eq!(ls(&c.dir).len(), 6);
    assert_eq!(stat(c.p(".")), stat(&c.dir));
}

fn spaces_and_dashes(c: &Ctx<'_>) {
    for name in [" ", "-", "--", "*", "\\", "\"", "'", "$(x)", "a b", "%s", ":", "\u{202e}"] {
        put(c.p(name), name.as_bytes());
        assert_eq!(slurp(c.p(name)), name.as_bytes());
    }
    assert_eq!(ls(&c.dir).len(), 12);
}

fn hidden_names(c: &Ctx<'_>) {
    mkdir(c.p(".d"), 0o700).unwrap();
    touch(c.p(".d/.f"));
    assert_eq!((ls(&c.dir), ls(c.p(".d"))), (vec![".d".to_string()], vec![".f".to_string()]));
}

fn looks_like_ours(c: &Ctx<'_>) {
    // Below the root, names that mean something elsewhere mean nothing.
    for name in [".shmfs", "views", "sem.x", "shm-x", ".Trash", ".nfs0001", ".wh.x"] {
        fails(stat(c.p(name)), ENOENT);
        mkdir(c.p(name), 0o700).unwrap();
        rmdir(c.p(name)).unwrap();
    }
}

fn dotdot_of_the_root(c: &Ctx<'_>) {
    let up = stat(c.mountpoint().join("..")).unwrap();
    let parent = stat(c.mountpoint().parent().unwrap()).unwrap();
    assert_eq!((up.ino, up.mode, up.uid), (parent.ino, parent.mode, parent.uid));
}

fn long_name_lookups(c: &Ctx<'_>) {
    for len in [1, 31, 32, 39, 40, 63, 64, 127, 128, 191, 254, 255] {
        let name = "n".repeat(len);
        fails(stat(c.p(&name)), ENOENT);
        touch(c.p(&name));
        stat(c.p(&name)).unwrap();
        unlink(c.p(&name)).unwrap();
        fails(stat(c.p(&name)), ENOENT);
    }
}

fn deep_tree(c: &Ctx<'_>) {
    chdir(&c.dir).unwrap();
    for _ in 0..300 {
        mkdir("a-directory-name", 0o700).unwrap();
        chdir("a-directory-name").unwrap();
    }
    touch("f");
    for _ in 0..300 {
        chdir("..").unwrap();
    }
    let here = stat(".").unwrap();
    assert_eq!(here.ino, stat(&c.dir).unwrap().ino);
}

fn slashes_are_one(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    put(c.p("d//f"), b"data");
    assert_eq!((slurp(c.p("d/./f")), slurp(c.p("d/../d///f"))), (b"data".to_vec(), b"data".to_vec()));
    open(c.p("d//"), O_RDONLY | O_DIRECTORY).unwrap();
}

fn name_as_prefix(c: &Ctx<'_>) {
    touch(c.p("ab"));
    for name in ["a", "abc", "ab "] {
        fails(stat(c.p(name)), ENOENT);
    }
}

fn many_similar(c: &Ctx<'_>) {
    let base = "x".repeat(240);
    for i in 0..500 {
        put(c.p(&format!("{base}{i}")), i.to_string().as_bytes());
    }
    assert!((0..500).all(|i| slurp(c.p(&format!("{base}{i}"))) == i.to_string().as_bytes()));
}

fn fuse_hidden(c: &Ctx<'_>) {
    // No silly renames: what is unlinked while open is gone, and its directory can go too.
    mkdir(c.p("d"), 0o700).unwrap();
    let fd = put(c.p("d/f"), b"data");
    unlink(c.p("d/f")).unwrap();
    assert_eq!(names_of(c.p("d")).len(), 0);
    rmdir(c.p("d")).unwrap();
    assert_eq!(sys::pread(&fd, 9, 0), Ok(b"data".to_vec()));
}
