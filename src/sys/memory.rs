//! How much memory the host has, and in what units.

/// Bytes of RAM that the kernel manages: `totalram_pages()`, which tmpfs's `%` counts in.
pub fn total_ram() -> u64 {
    let answer = rustix::system::sysinfo();
    (answer.totalram as u64).saturating_mul(u64::from(answer.mem_unit))
}

/// Gives memory that was freed back to the system: the allocator keeps it otherwise.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointer; the allocator locks what it looks at.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes of a page.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}
