//! What this binary does when a case starts it again as an unrelated program.

/// Plays the role that the command line names; `None` where it names none.
pub(crate) fn play() -> Option<i32> {
    let mut args = std::env::args().skip(1);
    if args.next()? != "--role" {
        return None;
    }
    let role = args.next()?;
    let path = args.next()?;
    match role.as_str() {
        "mutex" => Some(crate::cases::sync::mutex_partner(&path)),
        "waker" => Some(crate::cases::sync::futex_waker(&path)),
        _ => None,
    }
}
