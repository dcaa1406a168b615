//! Every platform's rules from a name that a program passes to where the object lives, and back.
//!
//! A [`Scheme`] is one platform's library or kernel in one age, for one kind of object. It is pure:
//! bytes in, a [`Place`] or a [`Refusal`] out; nothing here asks the host, knows FUSE or the store.
//! One file per family of platforms; [`SCHEMES`] is the only list.
//!
//! Three steps are kept apart, because programs can tell them apart:
//!
//! 1. the platform's own checks ([`Scheme::translate`]);
//! 2. what its file system must then say of the path ([`Scheme::effective`]);
//! 3. whether the path is inside the scheme's directory ([`Scheme::view_path`]): some platforms
//!    let `/../x` out of it, a view cannot.

mod cygwin;
mod dragonfly;
mod file_system;
mod freebsd;
mod glibc;
mod haiku;
mod illumos;
mod key_name;
mod mqueue;
mod musl;
mod naming;
mod netbsd;
mod newlib;
mod nuttx;
mod openbsd;
pub mod platform;
pub mod portable;
mod redox;
mod rtems;
mod scheme;
mod uclibc;
mod xnu;
mod zephyr;

pub use file_system::FileSystem;
pub use key_name::{FileName, decode as decode_key, encode as encode_key};
pub use naming::{Naming, NoView};
pub use scheme::{
    Age, Answer, Directory, Kind, NameOp, NameScheme, Outside, Place, Refusal, Reversal,
    Reversible, Scheme,
};

/// Every scheme, a platform's newest age first.
pub static SCHEMES: &[&Scheme] = &[
    &glibc::GLIBC,
    &glibc::GLIBC_2_38,
    &glibc::GLIBC_2_34,
    &glibc::GLIBC_2_21,
    &glibc::GLIBC_2_19,
    &glibc::GLIBC_2_18,
    &glibc::GLIBC_SEM,
    &glibc::GLIBC_2_38_SEM,
    &glibc::GLIBC_2_34_SEM,
    &glibc::GLIBC_2_21_SEM,
    &glibc::GLIBC_2_18_SEM,
    &glibc::HURD,
    &musl::MUSL,
    &musl::MUSL_SEM,
    &musl::MUSL_OLD,
    &uclibc::UCLIBC,
    &uclibc::UCLIBC_SEM,
    &openbsd::OPENBSD,
    &openbsd::OPENBSD_SEM,
    &netbsd::NETBSD,
    &netbsd::NETBSD_SEM,
    &dragonfly::DRAGONFLY,
    &dragonfly::DRAGONFLY_OLD,
    &dragonfly::DRAGONFLY_SEM,
    &freebsd::FREEBSD,
    &freebsd::FREEBSD_SEM,
    &illumos::ILLUMOS,
    &illumos::ILLUMOS_LOCK,
    &illumos::ILLUMOS_BE,
    &illumos::ILLUMOS_SEM,
    &illumos::ILLUMOS_SEM_LOCK,
    &illumos::ILLUMOS_MQ,
    &illumos::ILLUMOS_MQ_PERM,
    &illumos::ILLUMOS_MQ_DSCN,
    &illumos::ILLUMOS_MQ_LOCK,
    &haiku::HAIKU,
    &haiku::HAIKU_SEM,
    &cygwin::CYGWIN,
    &cygwin::CYGWIN_SEM,
    &cygwin::CYGWIN_MQ,
    &cygwin::CYGWIN_1_7,
    &cygwin::CYGWIN_1_7_SEM,
    &cygwin::CYGWIN_1_7_MQ,
    &cygwin::CYGWIN_1_5,
    &newlib::NEWLIB_LINUX,
    &xnu::XNU,
    &xnu::XNU_OLD,
    &xnu::XNU_SEM,
    &rtems::RTEMS,
    &zephyr::ZEPHYR,
    &nuttx::NUTTX,
    &redox::REDOX,
    &mqueue::LINUX_MQ,
];

/// The scheme of that key, such as `netbsd` or `glibc-sem`.
pub fn find(key: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().copied().find(|scheme| scheme.key == key)
}

/// The name without its leading slashes.
fn strip_slashes(name: &[u8]) -> &[u8] {
    let slashes = name.iter().take_while(|&&byte| byte == b'/').count();
    &name[slashes..]
}

/// The two put together, in one allocation.
fn concat(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(prefix.len() + rest.len());
    joined.extend_from_slice(prefix);
    joined.extend_from_slice(rest);
    joined
}
