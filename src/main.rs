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
    let mut lists: Vec<std::ffi::OsString> = Vec::new();
    let mut rest = Vec::new();
    let mut it = args[2..].iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "-f" => foreground = true,
            "-o" => lists.push(it.next().unwrap().into()),
            other => rest.push(other.to_string()),
        }
    }
    let list = lists.join(std::ffi::OsStr::new(","));
    let o = Options::parse(&list, &Environment::of_host()).unwrap_or_else(|error| {
        eprintln!("shmfs: {error}");
        std::process::exit(1)
    });
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
