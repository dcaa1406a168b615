//! The `shmfs` command (for the moment `mount -f` alone, to try the core).
use std::os::fd::AsRawFd;

use rustix::fs::*;
use rustix::mount::*;
use shmfs::fuse::*;
use shmfs::options::*;

fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let args: Vec<String> = std::env::args().collect();
    assert_eq!(&args[1], "mount");
    let mut o = Options {
        size: 1 << 30,
        nr_inodes: 2_000_000,
        mode: 0o1777,
        uid: None,
        gid: None,
        huge: Huge::Never,
        passthrough: Passthrough::Auto,
        reserve: false,
        atime: Atime::Relative,
        nodiratime: false,
        read_only: false,
        suid: false,
        dev: false,
        exec: true,
        allow_other: true,
    };
    let mut rest = Vec::new();
    let mut it = args[2..].iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "-f" => {}
            "-o" => {
                for opt in it.next().unwrap().split(',') {
                    let (k, v) = opt.split_once('=').unwrap_or((opt, ""));
                    let num = || {
                        let (d, m) = match v.as_bytes().last() {
                            Some(b'k') => (&v[..v.len() - 1], 1 << 10),
                            Some(b'm') => (&v[..v.len() - 1], 1 << 20),
                            Some(b'g') => (&v[..v.len() - 1], 1 << 30),
                            _ => (v, 1),
                        };
                        d.parse::<u64>().unwrap() * m
                    };
                    match k {
                        "size" => o.size = num(),
                        "nr_inodes" => o.nr_inodes = num(),
                        "mode" => o.mode = u32::from_str_radix(v, 8).unwrap(),
                        "uid" => o.uid = Some(num() as u32),
                        "gid" => o.gid = Some(num() as u32),
                        "passthrough" if v == "on" => o.passthrough = Passthrough::On,
                        "passthrough" if v == "off" => o.passthrough = Passthrough::Off,
                        "reserve" => o.reserve = true,
                        "dev" => o.dev = true,
                        "suid" => o.suid = true,
                        "noatime" => o.atime = Atime::Never,
                        "strictatime" => o.atime = Atime::Strict,
                        other => eprintln!("ignored {other}"),
                    }
                }
            }
            other => rest.push(other.to_string()),
        }
    }
    let dir = rest.pop().unwrap();
    let c = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_set_string(&c, "nr_blocks", (o.size / 4096).to_string().as_str()).unwrap();
    fsconfig_set_string(&c, "nr_inodes", "0").unwrap();
    fsconfig_create(&c).unwrap();
    let data = fsmount(
        &c,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RELATIME,
    )
    .unwrap();
    let dev = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let c = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    let source = rest.pop().unwrap_or("shmfs".into());
    let fd = dev.as_raw_fd().to_string();
    for (k, v) in [
        ("source", source.as_str()),
        ("subtype", "shmfs"),
        ("fd", &fd),
        ("rootmode", "40000"),
        ("user_id", "0"),
        ("group_id", "0"),
    ] {
        fsconfig_set_string(&c, k, v).unwrap();
    }
    for k in ["allow_other", "default_permissions"] {
        fsconfig_set_flag(&c, k).unwrap();
    }
    fsconfig_create(&c).unwrap();
    let mut attrs = MountAttrFlags::empty();
    attrs.set(MountAttrFlags::MOUNT_ATTR_NODEV, !o.dev);
    attrs.set(MountAttrFlags::MOUNT_ATTR_NOSUID, !o.suid);
    let m = fsmount(&c, FsMountFlags::FSMOUNT_CLOEXEC, attrs).unwrap();
    let s = Service::start(dev, Some(data), &o, Layout::Anteroom).unwrap();
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let t = open_tree(&m, s.entrance().unwrap(), flags).unwrap();
    move_mount(
        &t,
        "",
        rustix::fs::CWD,
        dir.as_str(),
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .unwrap();
    drop((m, t, c));
    s.wait().unwrap();
}
