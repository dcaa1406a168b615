//! pjdfstest: every test that passes on tmpfs passes on shmfs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::MountFlags;

use crate::support::{Mode, Outcome, Site};
use crate::tools::PJDFSTEST;

const CONFIG: &str = include_str!("pjdfstest.toml");
const EXPECTED: &str = include_str!("expected-failures.txt");

/// What no run can do, on tmpfs neither, with the reason.
const SKIPPED: [(&str, &str); 1] = [(
    "link::link_count_max",
    "tmpfs has no LINK_MAX that pathconf(3) would tell",
)];

/// How many tests version 0.2.2 has: a run that found fewer proves less.
const TESTS: usize = 398;
const EROFS_TESTS: usize = 13;

/// One line of pjdfstest's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Failed,
    Skipped,
}

/// Everything but the EROFS tests.
pub(crate) fn all(site: &Site) -> Outcome {
    let verdicts = run(site, CONFIG, &[])?;
    let skipped: BTreeSet<&str> = names(&verdicts.found, Verdict::Skipped)
        .filter(|name| !is_erofs(name))
        .collect();
    let accepted = SKIPPED.iter().map(|(name, _reason)| *name).collect();
    expect_equal("skipped tests", &skipped, &accepted)?;
    judge(site.mode, &verdicts, TESTS)
}

/// The EROFS tests remount, which is EBUSY as long as a descriptor is open for
/// writing, and tests that came before keep some: they get a run of their own.
pub(crate) fn erofs(site: &Site) -> Outcome {
    install_mount_helper(site)?;
    let config = CONFIG.replace("allow_remount = false", "allow_remount = true");
    let verdicts = run(site, &config, &["erofs"])?;
    let skipped = names(&verdicts.found, Verdict::Skipped).collect();
    expect_equal("skipped tests", &skipped, &BTreeSet::new())?;
    judge(site.mode, &verdicts, EROFS_TESTS)
}

fn is_erofs(name: &str) -> bool {
    name.contains("::erofs")
}

struct Verdicts {
    found: BTreeMap<String, Verdict>,
    output: String,
}

fn run(site: &Site, config: &str, patterns: &[&str]) -> Result<Verdicts, String> {
    let program = PJDFSTEST.program()?;
    make_users(site)?;
    let config_file = site.outside.join("pjdfstest.toml");
    fs::write(&config_file, config).map_err(|e| format!("write {}: {e}", config_file.display()))?;
    let said = Command::new(program)
        .arg("-c")
        .arg(config_file)
        .arg("-p")
        .arg(place(site)?)
        .arg("-s")
        .arg(second_file_system(site)?)
        .args(patterns)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("start pjdfstest: {e}"))?;
    let output = String::from_utf8_lossy(&said.stdout).into_owned();
    let found = parse(&output);
    if found.is_empty() {
        return Err(format!(
            "pjdfstest ran nothing: {}\n{output}{}",
            said.status,
            String::from_utf8_lossy(&said.stderr)
        ));
    }
    Ok(Verdicts { found, output })
}

fn parse(output: &str) -> BTreeMap<String, Verdict> {
    let verdict = |line: &str| {
        let (name, word) = line.split_once(' ')?;
        let verdict = match word.trim() {
            "ok" => Verdict::Ok,
            "FAILED" => Verdict::Failed,
            "skipped" => Verdict::Skipped,
            _ => return None,
        };
        Some((name.to_owned(), verdict))
    };
    output.lines().filter_map(verdict).collect()
}

fn names(found: &BTreeMap<String, Verdict>, wanted: Verdict) -> impl Iterator<Item = &str> {
    found
        .iter()
        .filter(move |(_, verdict)| **verdict == wanted)
        .map(|(name, _)| name.as_str())
}

/// Failures are those that are expected, no more and no fewer.
fn judge(mode: Mode, verdicts: &Verdicts, tests: usize) -> Outcome {
    if verdicts.found.len() != tests {
        return Err(format!(
            "pjdfstest ran {} tests instead of {tests}",
            verdicts.found.len()
        ));
    }
    let failed: BTreeSet<&str> = names(&verdicts.found, Verdict::Failed).collect();
    let expected = expected_failures()?;
    let expected = expected
        .iter()
        .filter(|line| line.mode == mode)
        .map(|line| line.test)
        .filter(|test| {
            verdicts
                .found
                .get(*test)
                .is_some_and(|v| *v != Verdict::Skipped)
        })
        .collect();
    expect_equal("failures", &failed, &expected)
        .map_err(|sentence| format!("{sentence}\n{}", explain(&verdicts.output)))
}

/// What pjdfstest said of each failure, without its backtraces.
fn explain(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let wanted = |index: usize| {
        let failed = |line: &str| line.trim_end().ends_with(" FAILED");
        (index.saturating_sub(4)..=index).any(|near| failed(lines[near]))
    };
    (0..lines.len())
        .filter(|index| wanted(*index))
        .map(|index| lines[index])
        .filter(|line| !line.ends_with(" ok") && !line.starts_with("Backtrace"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn expect_equal(what: &str, found: &BTreeSet<&str>, expected: &BTreeSet<&str>) -> Outcome {
    let more: Vec<_> = found.difference(expected).collect();
    let fewer: Vec<_> = expected.difference(found).collect();
    if more.is_empty() && fewer.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{what}: {more:?} were not expected, {fewer:?} were expected and did not come"
    ))
}

/// One line of the list.
pub(crate) struct ExpectedFailure {
    mode: Mode,
    test: &'static str,
}

/// Reads the list; a line without a reason is an error.
pub(crate) fn expected_failures() -> Result<Vec<ExpectedFailure>, String> {
    let parse = |line: &'static str| {
        let (what, reason) = line.rsplit_once(": ")?;
        let (mode, test) = what.split_once(' ')?;
        let mode = Mode::from_name(mode).filter(|mode| *mode != Mode::Tmpfs)?;
        (!reason.trim().is_empty()).then_some(ExpectedFailure { mode, test })
    };
    EXPECTED
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            parse(line).ok_or(format!(
                "expected-failures.txt: not MODE TEST: REASON: {line}"
            ))
        })
        .collect()
}

/// Where it works. 0.2.2 counts backwards over zero when the rest of PATH_MAX is a
/// multiple of its 127-byte components.
fn place(site: &Site) -> Result<PathBuf, String> {
    const PATH_MAX: usize = 4096;
    const ITS_TWO_DIRECTORIES: usize = 2 * "/.tmpXXXXXX".len();
    const COMPONENT: usize = 127;
    let rest = |path: &Path| PATH_MAX - 1 - path.as_os_str().len() - ITS_TWO_DIRECTORIES;
    let mut path = site.dir.join("p");
    while rest(&path) % COMPONENT < 2 {
        path.as_mut_os_string().push("p");
    }
    fs::create_dir(&path).map_err(|e| format!("mkdir {}: {e}", path.display()))?;
    Ok(path)
}

/// For EXDEV and mount points.
fn second_file_system(site: &Site) -> Result<PathBuf, String> {
    let path = site.outside.join("second");
    fs::create_dir(&path).map_err(|e| format!("mkdir {}: {e}", path.display()))?;
    rustix::mount::mount("tmpfs", &path, "tmpfs", MountFlags::empty(), None)
        .map_err(|e| format!("mount a tmpfs on {}: {e}", path.display()))?;
    Ok(path)
}

/// Gives this namespace a passwd and a group with the user `tests` in it.
fn make_users(site: &Site) -> Outcome {
    for (file, line) in [
        ("/etc/passwd", "tests:x:59999:59999::/:/usr/sbin/nologin\n"),
        ("/etc/group", "tests:x:59999:\n"),
    ] {
        let mut text = fs::read_to_string(file).map_err(|e| format!("read {file}: {e}"))?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        let copy = site.outside.join(file.trim_start_matches("/etc/"));
        fs::write(&copy, text).map_err(|e| format!("write {}: {e}", copy.display()))?;
        rustix::mount::mount_bind(&copy, file).map_err(|e| format!("bind on {file}: {e}"))?;
    }
    Ok(())
}

/// mount(8) remounts by a helper in /sbin: a directory of ours is laid over it, in
/// this namespace, with the helper just built.
fn install_mount_helper(site: &Site) -> Outcome {
    if site.mode == Mode::Tmpfs {
        return Ok(());
    }
    let upper = site.outside.join("sbin");
    fs::create_dir(&upper).map_err(|e| format!("mkdir {}: {e}", upper.display()))?;
    for name in ["mount.shmfs", "mount.fuse.shmfs"] {
        fs::copy(env!("CARGO_BIN_EXE_mount-shmfs"), upper.join(name))
            .map_err(|e| format!("copy the mount helper: {e}"))?;
    }
    let sbin = fs::canonicalize("/sbin").map_err(|e| format!("find /sbin: {e}"))?;
    let options = format!("lowerdir={}:{}", upper.display(), sbin.display());
    let options = std::ffi::CString::new(options).map_err(|e| format!("mount options: {e}"))?;
    rustix::mount::mount(
        "sbin",
        &sbin,
        "overlay",
        MountFlags::RDONLY,
        options.as_c_str(),
    )
    .map_err(|e| format!("overlay {}: {e}", sbin.display()))
}
