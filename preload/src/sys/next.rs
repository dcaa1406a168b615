//! The functions that ours stand before.

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The next function of a name in the order of loading.
#[derive(Debug)]
pub(super) struct Next {
    name: &'static CStr,
    address: AtomicPtr<libc::c_void>,
}

impl Next {
    /// Not yet looked for.
    pub(super) const fn new(name: &'static CStr) -> Next {
        Next {
            name,
            address: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Looks for it. dlsym may allocate, so that this is done before the program runs.
    pub(super) fn find(&self) -> *mut libc::c_void {
        // SAFETY: the name is a C string; RTLD_NEXT asks for the object after ours.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(address, Ordering::Release);
        address
    }

    /// What was found, or is found now.
    #[cfg(not(test))]
    pub(super) fn found(&self) -> *mut libc::c_void {
        let address = self.address();
        if address.is_null() {
            return self.find();
        }
        address
    }

    /// What was found; null before, and where there is none. Fit for signal handlers.
    pub(super) fn address(&self) -> *mut libc::c_void {
        self.address.load(Ordering::Acquire)
    }
}

/// The address as a function of this type, if it is one.
macro_rules! function {
    ($address:expr, $type:ty) => {{
        let address: *mut libc::c_void = $address;
        if address.is_null() {
            None
        } else {
            // SAFETY: the C library's function of this name has this type.
            Some(unsafe { std::mem::transmute::<*mut libc::c_void, $type>(address) })
        }
    }};
}
pub(super) use function;
