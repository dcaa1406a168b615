//! The `shmfs` command (for the moment `mount -f` alone, to try the core).
use shmfs::options::*;

fn main() {
    shmfs::log::start();
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "run" {
        let wait = args.iter().any(|word| word == "--wait");
        let command = args
            .iter()
            .skip_while(|word| *word != "--")
            .skip(1)
            .map(Into::into)
            .collect();
        let options = Options::default();
        match shmfs::run::run(&shmfs::run::RunArgs {
            options,
            command,
            wait,
        }) {
            Ok(status) => std::process::exit(status),
            Err(error) => {
                eprintln!("shmfs: {error}");
                std::process::exit(error.exit_code() as i32);
            }
        }
    }
    let mut foreground = false;
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
            "-f" => foreground = true,
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
    let target: std::path::PathBuf = rest.pop().unwrap().into();
    let source = rest.pop().unwrap_or("shmfs".into()).into();
    let mounted = shmfs::mount::mount(&shmfs::mount::MountArgs {
        options: o,
        source,
        target,
        foreground,
    });
    if let Err(error) = mounted {
        eprintln!("shmfs: {error}");
        std::process::exit(error.exit_code() as i32);
    }
}
