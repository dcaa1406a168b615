//! Which requests the kernel sent, counted by the kernel: the tracepoint `fuse_request_send`.
//!
//! Read through perf_event_open(2), not through a tracing instance: when the descriptors close, nothing
//! of the tracing is left on the host. FORGET has no tracepoint; nobody waits for it.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{Ordering, fence};

/// Pages of each CPU's ring: 1 MiB, some 10,000 requests.
const RING_PAGES: usize = 256;
const PAGE: usize = 4096;

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_SAMPLE_TID: u64 = 1 << 1;
const PERF_SAMPLE_TIME: u64 = 1 << 2;
const PERF_SAMPLE_RAW: u64 = 1 << 10;
const PERF_RECORD_LOST: u32 = 2;
const PERF_RECORD_SAMPLE: u32 = 9;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_DISABLE: libc::c_ulong = 0x2401;
const PERF_EVENT_IOC_SET_FILTER: libc::c_ulong = 0x4008_2406;

/// struct perf_event_attr, PERF_ATTR_SIZE_VER0.
#[repr(C)]
#[derive(Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
}

/// One request that the kernel put before a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    time: u64,
    /// FUSE's operation code.
    pub(crate) opcode: u32,
    connection: u32,
}

impl Sent {
    /// Whether a caller waits for the answer. RELEASE and RELEASEDIR go out in the background.
    pub(crate) fn is_waited_for(self) -> bool {
        !matches!(self.opcode, 18 | 29)
    }

    /// The operation's name, in brackets where nobody waits.
    pub(crate) fn label(self) -> String {
        let name = name(self.opcode);
        if self.is_waited_for() {
            name
        } else {
            format!("({name})")
        }
    }
}

fn name(opcode: u32) -> String {
    let name = match opcode {
        1 => "LOOKUP",
        3 => "GETATTR",
        4 => "SETATTR",
        8 => "MKNOD",
        10 => "UNLINK",
        14 => "OPEN",
        15 => "READ",
        16 => "WRITE",
        18 => "RELEASE",
        20 => "FSYNC",
        21 => "SETXATTR",
        22 => "GETXATTR",
        23 => "LISTXATTR",
        25 => "FLUSH",
        27 => "OPENDIR",
        28 => "READDIR",
        29 => "RELEASEDIR",
        34 => "ACCESS",
        35 => "CREATE",
        44 => "READDIRPLUS",
        other => return format!("opcode-{other}"),
    };
    name.to_owned()
}

/// The tracepoint.
#[derive(Debug)]
pub(crate) struct Tracer {
    id: u64,
    cpus: Vec<i32>,
    offsets: Offsets,
}

#[derive(Clone, Copy, Debug)]
struct Offsets {
    opcode: usize,
    connection: usize,
}

impl Tracer {
    /// `tracefs` is where a tracefs is mounted.
    pub(crate) fn new(tracefs: &Path) -> io::Result<Tracer> {
        let event = tracefs.join("events/fuse/fuse_request_send");
        let id = fs::read_to_string(event.join("id"))?;
        let id = id.trim().parse().map_err(io::Error::other)?;
        let format = fs::read_to_string(event.join("format"))?;
        let offset = |field| {
            offset_of(&format, field)
                .ok_or_else(|| io::Error::other(format!("fuse_request_send has no {field}")))
        };
        let offsets = Offsets {
            opcode: offset("opcode")?,
            connection: offset("connection")?,
        };
        let cpus = online_cpus(&fs::read_to_string("/sys/devices/system/cpu/online")?);
        let tracer = Tracer { id, cpus, offsets };
        // Whether it can be had at all is known now.
        tracer.rings(0)?;
        Ok(tracer)
    }

    /// On every CPU, for one connection: the filter is the kernel's, or the rest of the machine's requests
    /// could fill the rings.
    fn rings(&self, connection: u32) -> io::Result<Vec<Ring>> {
        let filter = CString::new(format!("connection == {connection}"))?;
        let open = |&cpu: &i32| {
            let ring = Ring::open(self.id, cpu)?;
            ring.set_filter(&filter)?;
            Ok(ring)
        };
        self.cpus.iter().map(open).collect()
    }

    /// What was sent on `connection` while `body` ran and two milliseconds more, in order.
    pub(crate) fn during(
        &self,
        connection: u32,
        body: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Vec<Sent>> {
        let mut rings = self.rings(connection)?;
        rings
            .iter()
            .try_for_each(|ring| ring.switch(PERF_EVENT_IOC_ENABLE))?;
        let result = body();
        // What goes out in the background, so that it is shown as well.
        std::thread::sleep(std::time::Duration::from_millis(2));
        rings
            .iter()
            .try_for_each(|ring| ring.switch(PERF_EVENT_IOC_DISABLE))?;
        result?;
        let mut sent = Vec::new();
        for ring in &mut rings {
            ring.drain(self.offsets, &mut sent)?;
        }
        sent.retain(|s| s.connection == connection);
        sent.sort_by_key(|s| s.time);
        Ok(sent)
    }
}

/// The CPUs of a list such as `0-3,6`.
fn online_cpus(list: &str) -> Vec<i32> {
    let number = |s: &str| s.trim().parse().unwrap_or(0);
    list.split(',')
        .flat_map(|part| match part.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(part)..=number(part),
        })
        .collect()
}

/// The offset of a field in a tracepoint's `format` file.
fn offset_of(format: &str, field: &str) -> Option<usize> {
    let line = format
        .lines()
        .find(|line| line.contains(&format!(" {field};")))?;
    let (_, rest) = line.split_once("offset:")?;
    rest.split(';').next()?.parse().ok()
}

/// One CPU's event and the memory that the kernel writes its records to.
#[derive(Debug)]
struct Ring {
    fd: OwnedFd,
    start: *mut u8,
}

impl Ring {
    fn open(id: u64, cpu: i32) -> io::Result<Ring> {
        let attr = Attr {
            kind: PERF_TYPE_TRACEPOINT,
            size: size_of::<Attr>() as u32,
            config: id,
            sample_period: 1,
            sample_type: PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_RAW,
            flags: 1, // disabled
            ..Attr::default()
        };
        const FLAG_FD_CLOEXEC: libc::c_ulong = 8;
        // SAFETY: `attr` is a perf_event_attr of the size it names; the descriptor is new.
        let fd = unsafe {
            let fd = libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attr,
                -1,
                cpu,
                -1,
                FLAG_FD_CLOEXEC,
            );
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd as i32)
        };
        // SAFETY: a new mapping of the event's ring: one control page and 2^n pages of records.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                (1 + RING_PAGES) * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Ring {
            fd,
            start: start.cast(),
        })
    }

    /// struct perf_event_mmap_page: data_head at 1024, data_tail at 1032.
    fn control(&self, at: usize) -> *mut u64 {
        // SAFETY: both fields lie in the control page, aligned to eight bytes.
        unsafe { self.start.add(at).cast() }
    }

    fn head(&self) -> u64 {
        // SAFETY: the kernel's field, read once; the fence orders what follows after it.
        let head = unsafe { self.control(1024).read_volatile() };
        fence(Ordering::Acquire);
        head
    }

    fn tail(&self) -> u64 {
        // SAFETY: our own field of the control page.
        unsafe { self.control(1032).read_volatile() }
    }

    fn set_tail(&mut self, tail: u64) {
        fence(Ordering::Release);
        // SAFETY: our own field of the control page.
        unsafe { self.control(1032).write_volatile(tail) }
    }

    fn set_filter(&self, filter: &CStr) -> io::Result<()> {
        // SAFETY: this ioctl reads a C string.
        let set = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                PERF_EVENT_IOC_SET_FILTER,
                filter.as_ptr(),
            )
        };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn switch(&self, request: libc::c_ulong) -> io::Result<()> {
        // SAFETY: an ioctl without argument on our own descriptor.
        if unsafe { libc::ioctl(self.fd.as_raw_fd(), request, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// `len` bytes at a position that counts up for ever.
    fn bytes(&self, position: u64, len: usize) -> Vec<u8> {
        let size = RING_PAGES * PAGE;
        (0..len)
            .map(|i| {
                let at = PAGE + (position as usize + i) % size;
                // SAFETY: inside the ring; the kernel wrote it before it moved data_head.
                unsafe { self.start.add(at).read_volatile() }
            })
            .collect()
    }

    fn drain(&mut self, offsets: Offsets, sent: &mut Vec<Sent>) -> io::Result<()> {
        let head = self.head();
        let mut tail = self.tail();
        while tail < head {
            // struct perf_event_header: type, misc (16 bits), size (16 bits).
            let header = self.bytes(tail, 8);
            let size = usize::from(u16::from_le_bytes([header[6], header[7]]));
            let record = self.bytes(tail, size);
            match u32_at(&record, 0) {
                PERF_RECORD_SAMPLE => sent.push(sample(&record, offsets)),
                PERF_RECORD_LOST => return Err(io::Error::other("the kernel lost trace records")),
                _ => {}
            }
            tail += size as u64;
        }
        self.set_tail(tail);
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: our mapping; nobody keeps a reference into it.
        unsafe { libc::munmap(self.start.cast(), (1 + RING_PAGES) * PAGE) };
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default())
}

/// Header (8), pid and tid (8), time (8), length of the raw part (4), the raw part.
fn sample(record: &[u8], offsets: Offsets) -> Sent {
    let time = u64::from_le_bytes(record[16..24].try_into().unwrap_or_default());
    let raw = &record[28..];
    Sent {
        time,
        opcode: u32_at(raw, offsets.opcode),
        connection: u32_at(raw, offsets.connection),
    }
}
