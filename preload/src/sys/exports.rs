//! The functions by name, with the C calling convention.
//!
//! `sem_open` has variable arguments in C. Here mode and value are fixed ones: on x86-64 and aarch64
//! Linux both kinds are passed in the same registers, and what the caller left out is not looked at.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::next::{Next, function};
use super::semaphore;
use crate::errno::{Errno, Result};
use crate::personality::Name;
use crate::semaphore::Request;
use crate::session::{self, Call, Session};
use crate::trace::{self, Called, Trail, quoted};
use crate::view::{Kind, NameOp};

type Mode = libc::mode_t;
type Semaphore = *mut libc::sem_t;

/// # Safety
/// `name` is null, 1, or a C string that lives as long as the call.
unsafe fn name<'n>(name: *const c_char) -> Name<'n> {
    match name as usize {
        0 => Name::Null,
        1 => Name::Anonymous,
        // SAFETY: the caller's word.
        _ => Name::Bytes(unsafe { CStr::from_ptr(name) }.to_bytes()),
    }
}

fn set_errno(errno: Errno) {
    // SAFETY: the address of this thread's errno is always good.
    unsafe { *libc::__errno_location() = errno.raw() };
}

/// What C gets: a result, or `failed` and errno.
fn answer<T>(result: Result<T>, failed: T) -> T {
    result.unwrap_or_else(|errno| {
        set_errno(errno);
        failed
    })
}

fn descriptor(result: Result<OwnedFd>) -> c_int {
    answer(result.map(IntoRawFd::into_raw_fd), -1)
}

/// One call: done, traced, and no panic of ours ever leaves it.
fn traced<'n, T>(
    session: Result<&'static Session>,
    called: impl FnOnce() -> Called<'n>,
    show: impl FnOnce(&T) -> String,
    work: impl FnOnce(&Call) -> Result<T>,
) -> Result<T> {
    let call = Call {
        session: session?,
        trail: Trail::default(),
    };
    let guarded = AssertUnwindSafe(|| {
        let result = work(&call);
        if call.session.trace {
            let shown = result.as_ref().map(show).map_err(|&errno| errno);
            trace::report(call.session.shm.key, &called(), shown, &call.trail);
        }
        result
    });
    catch_unwind(guarded).unwrap_or(Err(Errno::EIO))
}

fn shown(name: Name<'_>) -> String {
    match name {
        Name::Bytes(bytes) => quoted(bytes),
        Name::Null => "NULL".to_owned(),
        Name::Anonymous => "SHM_ANON".to_owned(),
    }
}

fn called<'n>(text: String, op: NameOp, kind: Kind, name: Name<'n>) -> Called<'n> {
    let named = match name {
        Name::Bytes(bytes) => Some((op, kind, bytes)),
        Name::Null | Name::Anonymous => None,
    };
    Called { text, named }
}

fn number(file: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    file.as_raw_fd().to_string()
}

/// The host's function of this name, or ENOSYS.
macro_rules! host {
    ($name:literal, $type:ty, $failed:expr, $($argument:expr),*) => {{
        static NEXT: Next = Next::new($name);
        match function!(NEXT.found(), $type) {
            // SAFETY: our caller's arguments, passed on as they are.
            Some(host) => unsafe { host($($argument),*) },
            None => {
                set_errno(Errno::ENOSYS);
                $failed
            }
        }
    }};
}

/// shm_open(3).
///
/// # Safety
/// As in C: `path` is a C string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn shm_open(path: *const c_char, flags: c_int, mode: Mode) -> c_int {
    type Host = unsafe extern "C" fn(*const c_char, c_int, Mode) -> c_int;
    let Some(session) = session::current() else {
        return host!(c"shm_open", Host, -1, path, flags, mode);
    };
    // SAFETY: the caller's word.
    let name = unsafe { name(path) };
    let text = || {
        let text = format!(
            "shm_open({}, {}, {mode:04o})",
            shown(name),
            trace::flags(flags)
        );
        called(text, NameOp::Open, Kind::SharedMemory, name)
    };
    descriptor(traced(session, text, number, |call| {
        call.session.personality.shm_open(call, name, flags, mode)
    }))
}

/// shm_unlink(3).
///
/// # Safety
/// As in C: `path` is a C string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn shm_unlink(path: *const c_char) -> c_int {
    type Host = unsafe extern "C" fn(*const c_char) -> c_int;
    let Some(session) = session::current() else {
        return host!(c"shm_unlink", Host, -1, path);
    };
    // SAFETY: the caller's word.
    let name = unsafe { name(path) };
    let text = || {
        called(
            format!("shm_unlink({})", shown(name)),
            NameOp::Unlink,
            Kind::SharedMemory,
            name,
        )
    };
    let done = traced(
        session,
        text,
        |_| "0".to_owned(),
        |call| call.session.personality.shm_unlink(call, name),
    );
    answer(done.map(|()| 0), -1)
}

/// sem_open(3); see the module for the last two arguments.
///
/// # Safety
/// As in C: `path` is a C string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sem_open(
    path: *const c_char,
    flags: c_int,
    mode: Mode,
    value: c_uint,
) -> Semaphore {
    type Host = unsafe extern "C" fn(*const c_char, c_int, ...) -> Semaphore;
    let Some(session) = session::current() else {
        return host!(
            c"sem_open",
            Host,
            libc::SEM_FAILED,
            path,
            flags,
            mode,
            value
        );
    };
    // SAFETY: the caller's word.
    let name = unsafe { name(path) };
    let creates = flags & libc::O_CREAT != 0;
    let request = Request {
        flags,
        mode: if creates { mode } else { 0 },
        value: if creates { value } else { 0 },
    };
    let text = || {
        let rest = match creates {
            true => format!(", {mode:04o}, {value}"),
            false => String::new(),
        };
        let text = format!("sem_open({}, {}{rest})", shown(name), trace::flags(flags));
        called(text, NameOp::Open, Kind::Semaphore, name)
    };
    let opened = traced(
        session,
        text,
        |at| format!("{at:?}"),
        |call| {
            let file = call.session.personality.sem_open(call, name, &request)?;
            semaphore::open(&file)
        },
    );
    answer(opened, libc::SEM_FAILED)
}

/// sem_close(3).
///
/// # Safety
/// As in C: nobody uses what sem_open gave when it was closed as often as opened.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sem_close(semaphore: Semaphore) -> c_int {
    type Host = unsafe extern "C" fn(Semaphore) -> c_int;
    let Some(session) = session::current() else {
        return host!(c"sem_close", Host, -1, semaphore);
    };
    let text = || Called {
        text: format!("sem_close({semaphore:?})"),
        named: None,
    };
    let done = traced(
        session,
        text,
        |_| "0".to_owned(),
        |_| semaphore::close(semaphore),
    );
    answer(done.map(|()| 0), -1)
}

/// sem_unlink(3).
///
/// # Safety
/// As in C: `path` is a C string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sem_unlink(path: *const c_char) -> c_int {
    type Host = unsafe extern "C" fn(*const c_char) -> c_int;
    let Some(session) = session::current() else {
        return host!(c"sem_unlink", Host, -1, path);
    };
    // SAFETY: the caller's word.
    let name = unsafe { name(path) };
    let text = || {
        called(
            format!("sem_unlink({})", shown(name)),
            NameOp::Unlink,
            Kind::Semaphore,
            name,
        )
    };
    let done = traced(
        session,
        text,
        |_| "0".to_owned(),
        |call| call.session.personality.sem_unlink(call, name),
    );
    answer(done.map(|()| 0), -1)
}

/// shm_mkstemp(3) of OpenBSD.
///
/// # Safety
/// As in C: `template` is a C string that may be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn shm_mkstemp(template: *mut c_char) -> c_int {
    type Host = unsafe extern "C" fn(*mut c_char) -> c_int;
    let Some(session) = session::current() else {
        return host!(c"shm_mkstemp", Host, -1, template);
    };
    if template.is_null() {
        return descriptor(Err(Errno::EFAULT));
    }
    // SAFETY: the caller's word.
    let len = unsafe { CStr::from_ptr(template) }.to_bytes().len();
    // SAFETY: as above; nobody else has the caller's array during the call.
    let bytes = unsafe { std::slice::from_raw_parts_mut(template.cast::<u8>(), len) };
    let asked = format!("shm_mkstemp({})", quoted(bytes));
    let text = || Called {
        text: asked,
        named: None,
    };
    descriptor(traced(session, text, number, |call| {
        call.session.personality.shm_mkstemp(call, bytes)
    }))
}

/// shm_open2(2) of FreeBSD.
///
/// # Safety
/// As in C: `path` is a C string; `_name` is not used there either.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn shm_open2(
    path: *const c_char,
    flags: c_int,
    mode: Mode,
    shmflags: c_int,
    _name: *const c_char,
) -> c_int {
    let Some(session) = session::current() else {
        return descriptor(Err(Errno::ENOSYS));
    };
    // SAFETY: the caller's word.
    let name = unsafe { name(path) };
    let text = || {
        let flags = trace::flags(flags);
        let text = format!(
            "shm_open2({}, {flags}, {mode:04o}, {shmflags:#x})",
            shown(name)
        );
        called(text, NameOp::Open, Kind::SharedMemory, name)
    };
    descriptor(traced(session, text, number, |call| {
        let platform = call.session.personality;
        platform.shm_open2(call, name, flags, mode, shmflags)
    }))
}

/// shm_create_largepage(3) of FreeBSD.
///
/// # Safety
/// As in C: `path` is a C string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn shm_create_largepage(
    path: *const c_char,
    _flags: c_int,
    _psind: c_int,
    _policy: c_int,
    _mode: Mode,
) -> c_int {
    let Some(session) = session::current() else {
        return descriptor(Err(Errno::ENOSYS));
    };
    // SAFETY: the caller's word.
    let name = unsafe { name(path) };
    let text = || {
        let text = format!("shm_create_largepage({})", shown(name));
        called(text, NameOp::Open, Kind::SharedMemory, name)
    };
    descriptor(traced(session, text, number, |call| {
        call.session.personality.shm_create_largepage(call)
    }))
}

/// shm_rename(2) of FreeBSD.
///
/// # Safety
/// As in C: both are C strings.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn shm_rename(
    from: *const c_char,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    let Some(session) = session::current() else {
        return answer(Err(Errno::ENOSYS), -1);
    };
    // SAFETY: the caller's word, for both.
    let (from, to) = unsafe { (name(from), name(to)) };
    let text = || {
        let text = format!("shm_rename({}, {}, {flags:#x})", shown(from), shown(to));
        called(text, NameOp::Open, Kind::SharedMemory, to)
    };
    let done = traced(
        session,
        text,
        |_| "0".to_owned(),
        |call| call.session.personality.shm_rename(call, from, to, flags),
    );
    answer(done.map(|()| 0), -1)
}

/// memfd_create(2): the platform's checks, then the host's.
///
/// # Safety
/// As in C: `label` is a C string.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memfd_create(label: *const c_char, flags: c_uint) -> c_int {
    type Host = unsafe extern "C" fn(*const c_char, c_uint) -> c_int;
    if let Some(Ok(session)) = session::current() {
        // SAFETY: the caller's word.
        let name = unsafe { name(label) };
        let text = || Called {
            text: format!("memfd_create({}, {flags:#x})", shown(name)),
            named: None,
        };
        let checked = traced(
            Ok(session),
            text,
            |_| "checked".to_owned(),
            |call| call.session.personality.memfd_create(call, name, flags),
        );
        if checked.is_err() {
            return answer(checked.map(|()| 0), -1);
        }
    }
    host!(c"memfd_create", Host, -1, label, flags)
}

/// Runs when the library is loaded, before the program can change its environment.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = {
    extern "C" fn at_load() {
        super::descriptors::find_hosts();
        super::lock::survive_forks();
        session::prepare();
    }
    at_load
};
