//! What holds for every name.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use proptest::prelude::*;
use shmfs::view::portable::{self, Verdict};
use shmfs::view::{
    self, Directory, FileName, Kind, NameOp, Place, Reversal, Reversible, SCHEMES, Scheme,
};

/// Names that collide, reach limits, and hold any byte but NUL.
fn names() -> impl Strategy<Value = Vec<u8>> {
    let colliding = prop::collection::vec(prop::sample::select(b"//..ab%\\s".to_vec()), 0..12);
    let any = prop::collection::vec(1_u8..=255, 0..40);
    let lengths = prop::sample::select(vec![
        12_usize, 13, 14, 29, 30, 31, 32, 33, 246, 247, 248, 250, 251, 252, 253, 254, 255, 256,
        257, 259, 260, 261, 1004, 1007, 1011, 1012, 1013, 1022, 1023, 1024, 4082, 4086, 4087, 4090,
        4110,
    ]);
    let limits = (
        prop::sample::select(vec!["", "/", "//", "\\"]),
        lengths,
        prop::sample::select(b"a%.\xe9".to_vec()),
    )
        .prop_map(|(slash, length, byte)| [slash.as_bytes(), &vec![byte; length]].concat());
    let parts = prop::sample::select(vec![
        "/", "/", ".", "..", "a", "foo", "sem.", "SEMD", "\\", "%s", "tmp-1", ".SHMD",
    ]);
    let paths = prop::collection::vec(parts, 0..8).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![3 => colliding, 2 => any, 2 => limits, 3 => paths]
}

/// Platforms that let a name leave their directory.
const LEAKY: &[&str] = &[
    "glibc-2.18",
    "glibc-2.18-sem",
    "uclibc",
    "uclibc-sem",
    "dragonfly",
    "dragonfly-old",
    "dragonfly-sem",
    "freebsd-sem",
    "cygwin-1.7",
    "cygwin-1.7-sem",
    "cygwin-1.7-mq",
    "cygwin-1.5",
    "newlib-linux",
    "nuttx",
    "redox",
];

fn strip(name: &[u8]) -> &[u8] {
    &name[name.iter().take_while(|&&byte| byte == b'/').count()..]
}

/// A path by its components, `..` resolved; `None` if it leaves its directory.
fn components(path: &[u8]) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        if part == b".." {
            kept.pop()?;
        } else if !part.is_empty() && part != b"." {
            kept.push(part);
        }
    }
    Some(kept.join(b"/".as_slice()))
}

fn zephyr(name: &[u8]) -> Vec<u8> {
    let mut hash: u32 = 5381;
    for &byte in name.iter().take(256) {
        hash = (hash << 5).wrapping_add(hash);
        hash ^= u32::from(byte);
    }
    hash.to_be_bytes().to_vec()
}

/// What two names have in common if they are one object, written from the table "Which spellings are
/// one object" and not from the schemes; `None` for a path out of the directory.
fn model(key: &str, name: &[u8]) -> Option<Vec<u8>> {
    let below = |prefix: &str, body: &[u8]| components(&[prefix.as_bytes(), body].concat());
    let unslashed = |slashes: &[u8]| match name.split_first() {
        Some((first, rest)) if slashes.contains(first) => rest.to_vec(),
        _ => name.to_vec(),
    };
    match key {
        "openbsd" | "openbsd-sem" | "netbsd" | "netbsd-sem" | "freebsd" | "xnu" | "xnu-old"
        | "xnu-sem" | "haiku-sem" | "rtems" | "linux-mq" => Some(name.to_vec()),
        key if key.starts_with("illumos") => Some(name.to_vec()),
        "glibc-2.18" | "uclibc" | "dragonfly" | "nuttx" | "redox" => below("", strip(name)),
        "glibc-2.18-sem" | "uclibc-sem" => below("sem.", strip(name)),
        "hurd" | "musl" | "musl-sem" | "musl-old" | "haiku" => Some(strip(name).to_vec()),
        key if key.starts_with("glibc") => Some(strip(name).to_vec()),
        "cygwin" | "cygwin-sem" | "cygwin-mq" => Some(name[1..].to_vec()),
        "cygwin-1.7" | "cygwin-1.7-mq" => below("", &unslashed(b"/\\")),
        "cygwin-1.7-sem" => below("sem.", &unslashed(b"/\\")),
        "cygwin-1.5" | "newlib-linux" => below("", &unslashed(b"/")),
        "freebsd-sem" => below("SEMD", &unslashed(b"/")),
        "dragonfly-sem" => below("", &name[..name.len().min(1011)]),
        "dragonfly-old" => {
            if name.starts_with(b"/") {
                below("", name)
            } else {
                None
            }
        }
        "zephyr" => Some(zephyr(name)),
        key => panic!("{key} has no line in the table"),
    }
}

fn inside(scheme: &Scheme, name: &[u8]) -> Option<(Place, Vec<u8>)> {
    let place = scheme.object(name).ok()?;
    let path = scheme.view_path(&place).ok()?;
    Some((place, path))
}

/// The path that the scheme's `reverse` takes.
fn shown(scheme: &Scheme, place: &Place, view_path: &[u8]) -> Vec<u8> {
    match (scheme.directory, place) {
        (Directory::Path(_), Place::Path(path)) => path.clone(),
        _ => view_path.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reversible_schemes_round_trip(name in names()) {
        for scheme in SCHEMES {
            let Some((place, view_path)) = inside(scheme, &name) else { continue };
            let path = shown(scheme, &place, &view_path);
            prop_assert!(scheme.leads_to(&name, &path));
            match scheme.reverse(&path) {
                Reversal::Name(back) if scheme.reversible == Reversible::Exact => {
                    prop_assert_eq!(&back, &name, "{}", scheme.key);
                }
                Reversal::Name(back) => {
                    prop_assert!(scheme.same_object(&back, &name), "{}: {:?}", scheme.key, back);
                    prop_assert!(scheme.reversible == Reversible::Spelling, "{}", scheme.key);
                }
                Reversal::Digest => {
                    let by_length = view_path.starts_with(b"%#") && scheme.directory == Directory::Kernel;
                    prop_assert!(scheme.reversible == Reversible::Digest || by_length, "{}", scheme.key);
                }
                Reversal::NotAnObject => prop_assert!(false, "{}: {:?}", scheme.key, path),
            }
        }
    }

    #[test]
    fn two_names_are_one_object_exactly_where_the_table_says(one in names(), other in names()) {
        for scheme in SCHEMES {
            let pairs = [(&one, other.clone()), (&one, [b"/".as_slice(), &one].concat()), (&one, strip(&one).to_vec())];
            for (one, other) in pairs {
                if inside(scheme, one).is_none() || inside(scheme, &other).is_none() {
                    continue;
                }
                let same = model(scheme.key, one) == model(scheme.key, &other);
                prop_assert_eq!(scheme.same_object(one, &other), same, "{}: {:?} {:?}", scheme.key, one, other);
            }
        }
    }

    #[test]
    fn no_place_leaves_its_directory_but_where_the_platform_lets_it(name in names()) {
        for scheme in SCHEMES {
            let Ok(place) = scheme.object(&name) else { continue };
            match scheme.view_path(&place) {
                Ok(path) => {
                    for part in path.split(|&byte| byte == b'/') {
                        prop_assert!(!matches!(part, b"" | b"." | b".."), "{}: {:?}", scheme.key, path);
                    }
                    prop_assert!(model(scheme.key, &name).is_some(), "{}", scheme.key);
                }
                Err(view::Outside) => {
                    prop_assert!(LEAKY.contains(&scheme.key), "{}: {:?}", scheme.key, name);
                    prop_assert_eq!(portable::verdict(scheme, &name), Verdict::Escapes);
                }
            }
        }
    }

    #[test]
    fn unlink_finds_what_open_made_and_nothing_else(name in names()) {
        for scheme in SCHEMES {
            let (open, unlink) = (scheme.translate(NameOp::Open, &name), scheme.translate(NameOp::Unlink, &name));
            prop_assert_eq!(open.ok(), unlink.ok(), "{}", scheme.key);
        }
    }

    #[test]
    fn every_key_has_one_file_name(one in names(), other in names()) {
        let file = view::encode_key(&one);
        prop_assert!(!file.is_empty() && file.len() <= 255 && !file.contains(&b'/') && file != b"." && file != b"..");
        match view::decode_key(&file) {
            FileName::Key(key) => prop_assert_eq!(&key, &one),
            FileName::Digest => prop_assert!(one.len() > 83, "{} bytes fit", one.len()),
            FileName::Other => prop_assert!(false, "{:?}", file),
        }
        prop_assert_eq!(file == view::encode_key(&other), one == other);
        if let FileName::Key(key) = view::decode_key(&other) {
            prop_assert_eq!(view::encode_key(&key), other);
        }
    }

    #[test]
    fn what_is_read_back_leads_there_again(path in names()) {
        for scheme in SCHEMES {
            let path = match scheme.directory {
                Directory::Path(directory) => [directory.as_bytes(), &path].concat(),
                Directory::Kernel => path.clone(),
            };
            if let Reversal::Name(name) = scheme.reverse(&path) {
                prop_assert!(scheme.leads_to(&name, &path), "{}: {:?} {:?}", scheme.key, path, name);
            }
        }
    }

    #[test]
    fn portable_names_work_everywhere(name in names()) {
        for kind in [Kind::SharedMemory, Kind::Semaphore, Kind::MessageQueue] {
            let nearest = portable::nearest(kind, &name);
            prop_assert!(portable::misses(kind, &nearest).is_empty(), "{:?}", nearest);
            prop_assert_eq!(portable::nearest(kind, &nearest), nearest.clone());
            for scheme in portable::current(kind) {
                let verdict = portable::verdict(scheme, &nearest);
                let expected = verdict == Verdict::Works || scheme.key == "musl";
                prop_assert!(expected && verdict.is_usable(), "{}: {:?}", scheme.key, verdict);
            }
        }
    }

    /// The paths of a Linux library, on this kernel: a directory whose path is as long as /dev/shm.
    #[test]
    fn linux_answers_what_effective_says(name in names()) {
        let directory = Scratch::new();
        for key in ["glibc-2.18-sem", "uclibc-sem", "newlib-linux", "glibc-2.21-sem"] {
            let scheme = view::find(key).expect("a key");
            let Ok(place) = scheme.translate(NameOp::Open, &name) else { continue };
            let Place::Path(path) = &place else { panic!("{key} has paths") };
            let below = path.strip_prefix(b"/dev/shm/").expect("the directory");
            if below.split(|&byte| byte == b'/').any(|part| part == b"..") {
                continue;
            }
            let here = [directory.0.as_os_str().as_bytes(), b"/", below].concat();
            directory.make_parents(below);
            prop_assert_eq!(open(&here), scheme.effective(&place).map(|errno| errno.raw()), "{} {:?}", key, path);
        }
    }
}

/// A directory of eight bytes, such as /tmp/a1b.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let letters: Vec<char> = ('a'..='z').chain('0'..='9').collect();
        let all = letters
            .iter()
            .flat_map(|a| letters.iter().map(move |b| (a, b)));
        let tried = all.flat_map(|(a, b)| {
            letters
                .iter()
                .map(move |c| PathBuf::from(format!("/tmp/{a}{b}{c}")))
        });
        let made = tried
            .into_iter()
            .find(|path| std::fs::create_dir(path).is_ok());
        Scratch(
            made.expect(
                "this test needs /tmp to be writable and a free name of three letters in it",
            ),
        )
    }

    fn make_parents(&self, below: &[u8]) {
        let below = &below[..below.iter().rposition(|&byte| byte == b'/').unwrap_or(0)];
        let parts = below
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty());
        let mut path = self.0.clone();
        for part in parts {
            path.push(std::ffi::OsStr::from_bytes(part));
            // Fails where a part is too long: open will say so.
            let _ = std::fs::create_dir(&path);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The errno of open(O_RDWR | O_CREAT); the file is removed again.
fn open(path: &[u8]) -> Option<i32> {
    let path = CString::new(path).expect("no NUL");
    // SAFETY: the path is a C string, and the descriptor is closed once.
    unsafe {
        let fd = libc::open(
            path.as_ptr(),
            libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC,
            0o600,
        );
        if fd < 0 {
            return std::io::Error::last_os_error().raw_os_error();
        }
        libc::close(fd);
        libc::unlink(path.as_ptr());
    }
    None
}
