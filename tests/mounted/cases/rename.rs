//! rename(2) and renameat2(2).



use crate::consts::*;
use crate::proc::as_user;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["rename";
    nobody: file, over_a_file, over_an_open_file, open_file_keeps_its_data, directory, directory_over_an_empty_one,
        enotempty, file_over_directory, directory_over_file, symlink_is_not_followed, symlink_over_symlink,
        into_own_subdirectory, ancestor_over_descendant, onto_itself, hard_links_no_op, dot_and_dotdot, missing, missing_directory,
        trailing_slashes, moves_link_counts, across_directories_dotdot, noreplace, noreplace_same_name, exchange_files,
        exchange_file_and_directory, exchange_missing, exchange_with_itself, exchange_directories_across,
        exchange_ancestor, exchange_noreplace_together, unknown_flag, special_files, to_long_name, open_directory,
        over_in_another_directory, keeps_inode_number, cycle_of_names, replaced_nlink, empty_directory_nlink;
    root: whiteout, whiteout_with_noreplace, whiteout_with_exchange, whiteout_as_a_user, whiteout_in_setgid_directory, sticky_source, sticky_target, sticky_target_owner,
        unwritable_subdirectory, readonly_parents, exchange_sticky, other_file_system;
];

const WHITEOUT: u32 = RENAME_WHITEOUT;

fn file(c: &Ctx<'_>) {
    put(c.p("a"), b"data");
    let before = stat(c.p("a")).unwrap();
    rename(c.p("a"), c.p("b")).unwrap();
    fails(stat(c.p("a")), ENOENT);
    assert_eq!((stat(c.p("b")).unwrap().ino, slurp(c.p("b"))), (before.ino, b"data".to_vec()));
    assert_eq!(stat(&c.dir).unwrap().size, 60);
}

fn over_a_file(c: &Ctx<'_>) {
    put(c.p("a"), b"a");
    put(c.p("b"), b"bb");
    rename(c.p("a"), c.p("b")).unwrap();
    assert_eq!((ls(&c.dir), slurp(c.p("b"))), (vec!["b".to_string()], b"a".to_vec()));
    assert_eq!(stat(&c.dir).unwrap().size, 60);
}

fn over_an_open_file(c: &Ctx<'_>) {
    put(c.p("a"), b"a");
    let fd = put(c.p("b"), b"bb");
    rename(c.p("a"), c.p("b")).unwrap();
    assert_eq!(pread(&fd, 9, 0), Ok(b"bb".to_vec()));
    assert_eq!(fstat(&fd).unwrap().nlink, 0);
    assert_eq!(sys::write(&fd, b"more"), Ok(4));
    assert_eq!(slurp(c.p("b")), b"a");
}

fn open_file_keeps_its_data(c: &Ctx<'_>) {
    let fd = put(c.p("a"), b"one");
    mkdir(c.p("d"), 0o700).unwrap();
    rename(c.p("a"), c.p("d/b")).unwrap();
    assert_eq!(sys::write(&fd, b"two"), Ok(3));
    assert_eq!(slurp(c.p("d/b")), b"onetwo");
    assert_eq!(fstat(&fd), stat(c.p("d/b")));
}

fn directory(c: &Ctx<'_>) {
    mkdir(c.p("a"), 0o700).unwrap();
    touch(c.p("a/f"));
    rename(c.p("a"), c.p("b")).unwrap();
    assert_eq!((ls(&c.dir), ls(c.p("b"))), (vec!["b".to_string()], vec!["f".to_string()]));
}

fn directory_over_an_empty_one(c: &Ctx<'_>) {
    mkdir(c.p("a"), 0o700).unwrap();
    touch(c.p("a/f"));
    mkdir(c.p("b"), 0o700).unwrap();
    let gone = open(c.p("b"), O_RDONLY).unwrap();
    rename(c.p("a"), c.p("b")).unwrap();
    assert_eq!(ls(c.p("b")), ["f"]);
    assert_eq!(fstat(&gone).unwrap().nlink, 0);
    assert_eq!(stat(&c.dir).unwrap().nlink, 3);
}

fn enotempty(c: &Ctx<'_>) {
    mkdir(c.p("a"), 0o700).unwrap();
    mkdir(c.p("b"), 0o700).unwrap();
    touch(c.p("b/f"));
    fails(rename(c.p("a"), c.p("b")), ENOTEMPTY);
    fails(rmdir(c.p("b")), ENOTEMPTY);
    assert_eq!(ls(&c.dir), ["a", "b"]);
}

fn file_over_directory(c: &Ctx<'_>) {
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    fails(rename(c.p("f"), c.p("d")), EISDIR);
    symlink("f", c.p("l")).unwrap();
    fails(rename(c.p("l"), c.p("d")), EISDIR);
}

fn directory_over_file(c: &Ctx<'_>) {
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("d", c.p("l")).unwrap();
    fails(rename(c.p("d"), c.p("f")), ENOTDIR);
    fails(rename(c.p("d"), c.p("l")), ENOTDIR);
}

fn symlink_is_not_followed(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    rename(c.p("l"), c.p("m")).unwrap();
    assert_eq!((ls(&c.dir), readlink(c.p("m"))), (vec!["f".into(), "m".into()], Ok(b"f".to_vec())));
}

fn symlink_over_symlink(c: &Ctx<'_>) {
    symlink("a", c.p("l")).unwrap();
    symlink("b", c.p("m")).unwrap();
    rename(c.p("l"), c.p("m")).unwrap();
    assert_eq!(readlink(c.p("m")), Ok(b"a".to_vec()));
}

fn into_own_subdirectory(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b/c")).unwrap();
    fails(rename(c.p("a"), c.p("a/x")), EINVAL);
    fails(rename(c.p("a"), c.p("a/b/c/x")), EINVAL);
    fails(rename(c.p("a"), c.p("a/b/c")), EINVAL);
}

fn ancestor_over_descendant(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b/c")).unwrap();
    fails(rename(c.p("a/b"), c.p("a")), ENOTEMPTY);
    fails(rename(c.p("a/b/c"), c.p("a")), ENOTEMPTY);
}

fn onto_itself(c: &Ctx<'_>) {
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    touch(c.p("d/x"));
    let before = (stat(c.p("f")), stat(c.p("d")), stat(&c.dir));
    rename(c.p("f"), c.p("f")).unwrap();
    rename(c.p("d"), c.p("d")).unwrap();
    assert_eq!((stat(c.p("f")), stat(c.p("d")), stat(&c.dir)), before);
}

fn hard_links_no_op(c: &Ctx<'_>) {
    touch(c.p("a"));
    link(c.p("a"), c.p("b")).unwrap();
    let before = (stat(c.p("a")), stat(&c.dir));
    rename(c.p("a"), c.p("b")).unwrap();
    assert_eq!((stat(c.p("a")), stat(&c.dir)), before);
    assert_eq!(ls(&c.dir), ["a", "b"]);
}

fn dot_and_dotdot(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    for (from, to) in [("d/.", "e"), ("d/..", "e"), ("d", "."), ("d", "d/.."), (".", "e")] {
        fails(rename(c.p(from), c.p(to)), EBUSY);
    }
}

fn missing(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(rename(c.p("no"), c.p("f")), ENOENT);
    fails(rename(c.p("no"), c.p("no")), ENOENT);
    fails(rename("", c.p("x")), ENOENT);
}

fn missing_directory(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(rename(c.p("f"), c.p("no/f")), ENOENT);
    fails(rename(c.p("no/f"), c.p("g")), ENOENT);
}

fn trailing_slashes(c: &Ctx<'_>) {
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    fails(rename(c.p("f/"), c.p("g")), ENOTDIR);
    fails(rename(c.p("f"), c.p("g/")), ENOTDIR);
    rename(c.p("d/"), c.p("e/")).unwrap();
    assert_eq!(ls(&c.dir), ["e", "f"]);
}

fn moves_link_counts(c: &Ctx<'_>) {
    for d in ["a", "b", "a/x"] {
        mkdir(c.p(d), 0o700).unwrap();
    }
    let nlinks = || (stat(c.p("a")).unwrap().nlink, stat(c.p("b")).unwrap().nlink);
    assert_eq!(nlinks(), (3, 2));
    rename(c.p("a/x"), c.p("b/x")).unwrap();
    assert_eq!(nlinks(), (2, 3));
    mkdir(c.p("a/y"), 0o700).unwrap();
    rename(c.p("b/x"), c.p("a/y")).unwrap();
    assert_eq!(nlinks(), (3, 2));
}

fn across_directories_dotdot(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/x")).unwrap();
    mkdir(c.p("b"), 0o700).unwrap();
    chdir(c.p("a/x")).unwrap();
    rename(c.p("a/x"), c.p("b/x")).unwrap();
    assert_eq!(stat("..").unwrap().ino, stat(c.p("b")).unwrap().ino);
    let cwd = std::env::current_dir().unwrap();
    assert_eq!(cwd, c.p("b/x"));
}

fn noreplace(c: &Ctx<'_>) {
    touch(c.p("a"));
    touch(c.p("b"));
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("none", c.p("l")).unwrap();
    for to in ["b", "d", "l"] {
        fails(rename2(c.p("a"), c.p(to), RENAME_NOREPLACE), EEXIST);
    }
    rename2(c.p("a"), c.p("c"), RENAME_NOREPLACE).unwrap();
    rename2(c.p("d"), c.p("e"), RENAME_NOREPLACE).unwrap();
    assert_eq!(ls(&c.dir), ["b", "c", "e", "l"]);
}

fn noreplace_same_name(c: &Ctx<'_>) {
    touch(c.p("a"));
    link(c.p("a"), c.p("b")).unwrap();
    fails(rename2(c.p("a"), c.p("a"), RENAME_NOREPLACE), EEXIST);
    fails(rename2(c.p("a"), c.p("b"), RENAME_NOREPLACE), EEXIST);
    fails(rename2(c.p("no"), c.p("b"), RENAME_NOREPLACE), ENOENT);
}

fn exchange_files(c: &Ctx<'_>) {
    put(c.p("a"), b"a");
    put(c.p("b"), b"b");
    rename2(c.p("a"), c.p("b"), RENAME_EXCHANGE).unwrap();
    assert_eq!((slurp(c.p("a")), slurp(c.p("b"))), (b"b".to_vec(), b"a".to_vec()));
}

fn exchange_file_and_directory(c: &Ctx<'_>) {
    mkdir(c.p("p"), 0o700).unwrap();
    mkdir(c.p("q"), 0o700).unwrap();
    mkdir(c.p("p/d"), 0o700).unwrap();
    touch(c.p("p/d/full"));
    put(c.p("q/f"), b"f");
    rename2(c.p("p/d"), c.p("q/f"), RENAME_EXCHANGE).unwrap();
    assert_eq!((slurp(c.p("p/d")), ls(c.p("q/f"))), (b"f".to_vec(), vec!["full".to_string()]));
    let nlink = |d| stat(c.p(d)).unwrap().nlink;
    assert_eq!((nlink("p"), nlink("q")), (2, 3));
    symlink("x", c.p("l")).unwrap();
    rename2(c.p("l"), c.p("q/f"), RENAME_EXCHANGE).unwrap();
    assert_eq!((readlink(c.p("q/f")), nlink("q")), (Ok(b"x".to_vec()), 2));
}

fn exchange_missing(c: &Ctx<'_>) {
    touch(c.p("a"));
    fails(rename2(c.p("a"), c.p("b"), RENAME_EXCHANGE), ENOENT);
    fails(rename2(c.p("b"), c.p("a"), RENAME_EXCHANGE), ENOENT);
}

fn exchange_with_itself(c: &Ctx<'_>) {
    touch(c.p("a"));
    link(c.p("a"), c.p("b")).unwrap();
    rename2(c.p("a"), c.p("a"), RENAME_EXCHANGE).unwrap();
    rename2(c.p("a"), c.p("b"), RENAME_EXCHANGE).unwrap();
    assert_eq!(ls(&c.dir), ["a", "b"]);
}

fn exchange_directories_across(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("p/x/1")).unwrap();
    std::fs::create_dir_all(c.p("q/y/2")).unwrap();
    let held = open(c.p("p/x"), O_RDONLY | O_DIRECTORY).unwrap();
    rename2(c.p("p/x"), c.p("q/y"), RENAME_EXCHANGE).unwrap();
    assert_eq!((ls(c.p("p/x")), ls(c.p("q/y"))), (vec!["2".to_string()], vec!["1".to_string()]));
    let up = openat(&held, "..", O_RDONLY, 0).unwrap();
    assert_eq!(fstat(&up), stat(c.p("q")));
}

fn exchange_ancestor(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b/c")).unwrap();
    fails(rename2(c.p("a"), c.p("a/b"), RENAME_EXCHANGE), EINVAL);
    fails(rename2(c.p("a/b/c"), c.p("a"), RENAME_EXCHANGE), EINVAL);
}

fn exchange_noreplace_together(c: &Ctx<'_>) {
    touch(c.p("a"));
    touch(c.p("b"));
    fails(rename2(c.p("a"), c.p("b"), RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
}

fn unknown_flag(c: &Ctx<'_>) {
    touch(c.p("a"));
    fails(rename2(c.p("a"), c.p("b"), 8), EINVAL);
}

fn special_files(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    mknod(c.p("s"), S_IFSOCK | 0o600, 0).unwrap();
    rename(c.p("n"), c.p("s")).unwrap();
    assert_eq!(stat(c.p("s")).unwrap().kind(), S_IFIFO);
    assert_eq!(ls(&c.dir), ["s"]);
}

fn to_long_name(c: &Ctx<'_>) {
    touch(c.p("a"));
    fails(rename(c.p("a"), c.p(&"x".repeat(256))), ENAMETOOLONG);
    rename(c.p("a"), c.p(&"x".repeat(255))).unwrap();
}

fn open_directory(c: &Ctx<'_>) {
    mkdir(c.p("a"), 0o700).unwrap();
    let dir = open(c.p("a"), O_RDONLY | O_DIRECTORY).unwrap();
    rename(c.p("a"), c.p("b")).unwrap();
    openat(&dir, "f", O_CREAT | O_RDWR, 0o600).unwrap();
    assert_eq!(ls(c.p("b")), ["f"]);
}

fn over_in_another_directory(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("d")).unwrap();
    put(c.p("f"), b"new");
    put(c.p("d/f"), b"old");
    rename(c.p("f"), c.p("d/f")).unwrap();
    assert_eq!((ls(&c.dir), slurp(c.p("d/f"))), (vec!["d".to_string()], b"new".to_vec()));
    assert_eq!((stat(&c.dir).unwrap().size, stat(c.p("d")).unwrap().size), (60, 60));
}

fn keeps_inode_number(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let ino = stat(c.p("d")).unwrap().ino;
    rename(c.p("d"), c.p("e")).unwrap();
    assert_eq!(stat(c.p("e")).unwrap().ino, ino);
}

fn cycle_of_names(c: &Ctx<'_>) {
    for n in ["a", "b", "c"] {
        put(c.p(n), n.as_bytes());
    }
    for (from, to) in [("a", "t"), ("b", "a"), ("c", "b"), ("t", "c")] {
        rename(c.p(from), c.p(to)).unwrap();
    }
    assert_eq!((slurp(c.p("a")), slurp(c.p("b")), slurp(c.p("c"))), (b"b".to_vec(), b"c".to_vec(), b"a".to_vec()));
}

fn replaced_nlink(c: &Ctx<'_>) {
    touch(c.p("a"));
    touch(c.p("b"));
    link(c.p("b"), c.p("other")).unwrap();
    rename(c.p("a"), c.p("b")).unwrap();
    assert_eq!(stat(c.p("other")).unwrap().nlink, 1);
}

fn empty_directory_nlink(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("p/a")).unwrap();
    std::fs::create_dir_all(c.p("p/b")).unwrap();
    rename(c.p("p/a"), c.p("p/b")).unwrap();
    let st = stat(c.p("p")).unwrap();
    assert_eq!((st.nlink, st.size), (3, 60));
}

fn whiteout(c: &Ctx<'_>) {
    put(c.p("a"), b"a");
    rename2(c.p("a"), c.p("b"), WHITEOUT).unwrap();
    let st = stat(c.p("a")).unwrap();
    assert_eq!((st.mode, st.rdev, st.nlink), (S_IFCHR, 0, 1));
    assert_eq!(slurp(c.p("b")), b"a");
    assert_eq!(stat(&c.dir).unwrap().size, 80);
}

fn whiteout_with_noreplace(c: &Ctx<'_>) {
    touch(c.p("a"));
    touch(c.p("b"));
    fails(rename2(c.p("a"), c.p("b"), WHITEOUT | RENAME_NOREPLACE), EEXIST);
    rename2(c.p("a"), c.p("c"), WHITEOUT | RENAME_NOREPLACE).unwrap();
    assert_eq!(stat(c.p("a")).unwrap().kind(), S_IFCHR);
}

fn whiteout_with_exchange(c: &Ctx<'_>) {
    touch(c.p("a"));
    touch(c.p("b"));
    fails(rename2(c.p("a"), c.p("b"), WHITEOUT | RENAME_EXCHANGE), EINVAL);
}

fn whiteout_as_a_user(c: &Ctx<'_>) {
    chmod(&c.dir, 0o777).unwrap();
    as_user(1000, || {
        touch(c.p("a"));
        rename2(c.p("a"), c.p("b"), WHITEOUT).unwrap();
    });
    let st = stat(c.p("a")).unwrap();
    assert_eq!((st.mode, st.rdev, st.uid), (S_IFCHR, 0, 1000));
}

fn whiteout_in_setgid_directory(c: &Ctx<'_>) {
    chown(&c.dir, 0, 2000).unwrap();
    chmod(&c.dir, 0o2777).unwrap();
    touch(c.p("a"));
    rename2(c.p("a"), c.p("b"), WHITEOUT).unwrap();
    assert_eq!(stat(c.p("a")).unwrap().gid, 2000);
}

fn sticky(c: &Ctx<'_>, dir: &str) {
    mkdir(c.p(dir), 0o700).unwrap();
    chmod(c.p(dir), 0o1777).unwrap();
}

fn sticky_source(c: &Ctx<'_>) {
    sticky(c, "s");
    mkdir(c.p("open"), 0o700).unwrap();
    chmod(c.p("open"), 0o777).unwrap();
    touch(c.p("s/roots"));
    as_user(1000, || {
        touch(c.p("s/mine"));
        fails(rename(c.p("s/roots"), c.p("s/x")), EPERM);
        fails(rename(c.p("s/roots"), c.p("open/x")), EPERM);
        fails(unlink(c.p("s/roots")), EPERM);
        rename(c.p("s/mine"), c.p("open/x")).unwrap();
    });
}

fn sticky_target(c: &Ctx<'_>) {
    sticky(c, "s");
    touch(c.p("s/roots"));
    mkdir(c.p("s/dir"), 0o777).unwrap();
    as_user(1000, || {
        touch(c.p("s/mine"));
        mkdir(c.p("s/mydir"), 0o700).unwrap();
        fails(rename(c.p("s/mine"), c.p("s/roots")), EPERM);
        fails(rename(c.p("s/mydir"), c.p("s/dir")), EPERM);
        fails(rmdir(c.p("s/dir")), EPERM);
    });
}

fn sticky_target_owner(c: &Ctx<'_>) {
    sticky(c, "s");
    chown(c.p("s"), 1000, 1000).unwrap();
    touch(c.p("s/roots"));
    // The owner of the sticky directory may remove anything in it.
    as_user(1000, || {
        touch(c.p("s/mine"));
        rename(c.p("s/mine"), c.p("s/roots")).unwrap();
        unlink(c.p("s/roots")).unwrap();
    });
}

fn unwritable_subdirectory(c: &Ctx<'_>) {
    for d in ["p", "q"] {
        mkdir(c.p(d), 0o700).unwrap();
        chmod(c.p(d), 0o777).unwrap();
    }
    mkdir(c.p("p/theirs"), 0o755).unwrap();
    as_user(1000, || {
        // A move to another parent rewrites `..`, which needs write permission on the directory itself.
        fails(rename(c.p("p/theirs"), c.p("q/theirs")), EACCES);
        rename(c.p("p/theirs"), c.p("p/renamed")).unwrap();
    });
}

fn readonly_parents(c: &Ctx<'_>) {
    for d in ["ro", "rw"] {
        mkdir(c.p(d), 0o755).unwrap();
        touch(c.p(&format!("{d}/f")));
    }
    chmod(c.p("rw"), 0o777).unwrap();
    as_user(1000, || {
        fails(rename(c.p("ro/f"), c.p("rw/g")), EACCES);
        fails(rename(c.p("rw/f"), c.p("ro/g")), EACCES);
        fails(rename(c.p("rw/f"), c.p("ro/f")), EACCES);
        fails(rename2(c.p("rw/f"), c.p("ro/f"), RENAME_EXCHANGE), EACCES);
    });
}

fn exchange_sticky(c: &Ctx<'_>) {
    sticky(c, "s");
    touch(c.p("s/roots"));
    as_user(1000, || {
        touch(c.p("s/mine"));
        fails(rename2(c.p("s/mine"), c.p("s/roots"), RENAME_EXCHANGE), EPERM);
    });
}

fn other_file_system(c: &Ctx<'_>) {
    let other = c.mount("size=1m");
    touch(c.p("f"));
    fails(rename(c.p("f"), other.p("f")), EXDEV);
    fails(link(c.p("f"), other.p("f")), EXDEV);
}
