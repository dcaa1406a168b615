//! Signals: masks, dispositions, signalfd.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A set of signals, or a thread's mask.
#[derive(Clone, Copy)]
pub struct Set(libc::sigset_t);

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Set").finish_non_exhaustive()
    }
}

impl Set {
    /// The set of `signals`.
    pub fn of(signals: &[i32]) -> Set {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initializes the set; `sigaddset` refuses what is no signal.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            Set(set.assume_init())
        }
    }

    /// Adds the set to the calling thread's mask; returns the mask as it was.
    pub fn block(&self) -> io::Result<Set> {
        self.change(libc::SIG_BLOCK)
    }

    /// Makes the set the calling thread's mask; returns the mask as it was.
    pub fn set(&self) -> io::Result<Set> {
        self.change(libc::SIG_SETMASK)
    }

    fn change(&self, how: i32) -> io::Result<Set> {
        let mut old = MaybeUninit::uninit();
        // SAFETY: both pointers are to sets; the old one is initialized on success.
        match unsafe { libc::pthread_sigmask(how, &self.0, old.as_mut_ptr()) } {
            0 => Ok(Set(unsafe {
                // SAFETY: see above.
                old.assume_init()
            })),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// A descriptor to read the blocked signals of the set from; reading never blocks.
    pub fn descriptor(&self) -> io::Result<Signals> {
        // SAFETY: the set is initialized.
        let fd = unsafe { libc::signalfd(-1, &self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// Sent by a process, with kill(2) and the like, rather than by the kernel or a terminal.
    pub by_process: bool,
}

/// Blocked signals, as a descriptor.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl std::os::fd::AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Signals {
    /// The next signal, if one is pending.
    pub fn next(&self) -> Option<Signal> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer has `size` bytes, for which every pattern is valid.
        let got = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if usize::try_from(got) != Ok(size) {
            return None;
        }
        // SAFETY: it was zeroed, and then filled by the kernel.
        let info = unsafe { info.assume_init() };
        // Codes above 0 are the kernel's (sigaction(2), SI_USER and below are a process's).
        Some(Signal {
            number: info.ssi_signo as i32,
            by_process: info.ssi_code <= libc::SI_USER,
        })
    }
}

/// Whether `signal` is ignored.
pub fn is_ignored(signal: i32) -> bool {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action changes nothing; a zeroed `sigaction` is valid.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr());
        old.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ignores `signal` from now on, or gives it back its default action.
pub fn set_ignored(signal: i32, ignored: bool) {
    let action = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: neither disposition runs code of ours.
    unsafe { libc::signal(signal, action) };
}

/// Lets this process wait for its children, also where who started it ignored their ends: that is inherited.
pub fn await_children() {
    set_ignored(libc::SIGCHLD, false);
}

static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Gives SIGPIPE the disposition that the process was started with: Rust's runtime ignores it.
pub fn restore_pipe() {
    set_ignored(libc::SIGPIPE, PIPE_WAS_IGNORED.load(Ordering::Relaxed));
}

extern "C" fn remember_pipe() {
    PIPE_WAS_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
}

/// Runs before Rust's runtime starts, which is the only moment when the answer can be had.
// SAFETY: the section holds pointers to functions without arguments; this one makes one system call.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER_PIPE: extern "C" fn() = remember_pipe;
