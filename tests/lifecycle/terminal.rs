//! `shmfs run` in a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const SHMFS: &str = env!("CARGO_BIN_EXE_shmfs");

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

    fn status(mut self) -> Option<i32> {
        self.child.wait().expect("wait").code()
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

#[test]
fn control_z_stops_it_and_fg_goes_on() {
    let mut terminal = Terminal::start(Command::new("bash").args(["--norc", "--noprofile", "-i"]));
    let command =
        r#"run -- sh -c 'echo rea''dy; read x; stat -f -c "of type %T" /dev/shm; echo "got $x"'"#;
    terminal.press(&format!("{SHMFS} {command}\n"));
    terminal.expect("ready");
    terminal.press("\x1a");
    terminal.expect("Stopped");
    terminal.press("fg\n");
    terminal.expect("run --");
    terminal.press("this\n");
    terminal.expect("of type fuseblk");
    terminal.expect("got this");
    terminal.press("exit 3\n");
    assert_eq!(terminal.status(), Some(3));
}
