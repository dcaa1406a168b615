//! `shmfs run` in a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const SHMFS: &str = env!("CARGO_BIN_EXE_shmfs");

/// Words for a bash whose turns can be told.
const SHELL: [&str; 4] = ["--norc", "--noprofile", "--noediting", "-i"];

/// A program that leads the session of a terminal.
struct Terminal {
    master: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(command: &mut Command) -> Terminal {
        let (mut master, mut slave) = (0, 0);
        let null = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: both numbers can be written to, and null is allowed for the rest.
        let made = unsafe {
            libc::openpty(
                &mut master,
                &mut slave,
                null.cast(),
                null.cast(),
                null.cast(),
            )
        };
        assert_eq!(made, 0, "openpty");
        // SAFETY: both descriptors are new.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let copy = || slave.try_clone().expect("dup");
        command.stdin(copy()).stdout(copy()).stderr(copy());
        let lead = || {
            // SAFETY: system calls alone.
            unsafe {
                // Whoever started the tests may have ignored them, as nohup and a shell's & do.
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
            }
            Ok(())
        };
        // SAFETY: see above.
        unsafe { command.pre_exec(lead) };
        let child = command.spawn().expect("spawn");
        Terminal {
            master,
            child,
            seen: String::new(),
        }
    }

    fn press(&mut self, keys: &str) {
        self.master
            .write_all(keys.as_bytes())
            .expect("write to the terminal");
    }

    #[track_caller]
    fn expect(&mut self, text: &str) {
        let begin = Instant::now();
        while !self.seen.contains(text) {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "no {text:?} in {:?}",
                self.seen
            );
            let mut waiting = libc::pollfd {
                fd: self.master.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid entry.
            if unsafe { libc::poll(&mut waiting, 1, 200) } == 1 {
                let mut buffer = [0; 1024];
                let count = self.master.read(&mut buffer).unwrap_or(0);
                self.seen
                    .push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
        let end = self.seen.find(text).expect("just found") + text.len();
        self.seen.drain(..end);
    }

    fn status(&mut self) -> Option<i32> {
        self.child.wait().expect("wait").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The end of the terminal reaches what it runs as SIGHUP.
            self.child.kill().expect("kill");
        }
    }
}

#[test]
fn control_c_reaches_the_command_once() {
    let script = r#"n=0; trap 'n=$((n+1))' INT; echo ready; while [ $n = 0 ]; do sleep 0.05; done; sleep 0.5; exit $((40 + n))"#;
    let mut terminal =
        Terminal::start(Command::new(SHMFS).args(["run", "--", "bash", "-c", script]));
    terminal.expect("ready");
    terminal.press("\x03");
    assert_eq!(terminal.status(), Some(41));
}

#[test]
fn control_c_ends_a_command_that_does_not_mind_it() {
    let mut terminal = Terminal::start(Command::new(SHMFS).args([
        "run",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 1000",
    ]));
    terminal.expect("ready");
    terminal.press("\x03");
    assert_eq!(terminal.status(), Some(130));
}

fn wait_until_stopped(pid: &str) {
    let begin = Instant::now();
    loop {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
        if state.contains(") T ") {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "not stopped: {state}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn control_z_stops_it_and_fg_goes_on() {
    let mut terminal = Terminal::start(Command::new("bash").args(SHELL));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("pid");
    let command = format!(
        r#"run -- sh -c 'echo $$ > {}; echo rea''dy; read x; stat -f -c "of type %T" /dev/shm; echo "got $x"'"#,
        file.display()
    );
    terminal.press("PS1='prom''pt> '\n");
    terminal.expect("prompt> ");
    terminal.press(&format!("{SHMFS} {command}\n"));
    terminal.expect("ready");
    terminal.press("\x1a");
    terminal.expect("Stopped");
    terminal.expect("prompt> ");
    // The shell only knows that the front has stopped; a command that has not yet would read on.
    let pid = std::fs::read_to_string(file).expect("the command's number");
    wait_until_stopped(pid.trim());
    terminal.press("fg\n");
    terminal.expect("run --");
    terminal.press("this\n");
    terminal.expect("of type fuseblk");
    terminal.expect("got this");
    terminal.expect("prompt> ");
    terminal.press("exit 3\n");
    assert_eq!(terminal.status(), Some(3));
}

#[test]
fn control_z_is_nothing_where_nobody_could_continue_it() {
    let script = "echo ready; read x; echo got $x";
    let mut terminal = Terminal::start(Command::new(SHMFS).args(["run", "--", "sh", "-c", script]));
    terminal.expect("ready");
    terminal.press("\x1a");
    terminal.press("this\n");
    terminal.expect("got this");
    assert_eq!(terminal.status(), Some(0));
}

#[test]
fn a_stopped_job_ends_with_its_shell() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("pid");
    let mut terminal = Terminal::start(Command::new("bash").args(SHELL));
    let command = format!(
        "run -- sh -c 'echo $$ > {}; echo rea''dy; exec sleep 1000'",
        file.display()
    );
    terminal.press(&format!("{SHMFS} {command}\n"));
    terminal.expect("ready");
    terminal.press("\x1a");
    terminal.expect("Stopped");
    let pid = std::fs::read_to_string(file).expect("the command's number");
    wait_until_stopped(pid.trim());
    terminal.child.kill().expect("kill");
    let begin = Instant::now();
    while std::path::Path::new("/proc").join(pid.trim()).exists() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "the command is left"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
