//! `shmfs name check`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use super::lex::Language;
use super::output::{self, JsonBytes};
use super::{NO, Outcome, scan};
use crate::error::{Error, ExitCode, Result};
use crate::view::portable::{self, Verdict};
use crate::view::{Age, Kind, SCHEMES, Scheme};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Find names in source files: literals passed to shm_open, sem_open and the like, in C, C++,
    /// Rust, Python and Go; other files are passed over
    #[arg(long, value_name = "FILE", num_args = 1..)]
    from: Vec<PathBuf>,
    /// Look only at these schemes or platforms, which may be past ones
    #[arg(long, value_name = "KEY", value_delimiter = ',', value_parser = parse_platform)]
    require: Vec<&'static str>,
    /// What the names are names of
    #[arg(long, value_enum, default_value = "shm")]
    kind: KindArg,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The names, as a program passes them
    #[arg(value_name = "NAME", required_unless_present = "from")]
    names: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    /// Shared memory
    Shm,
    /// Semaphores
    Sem,
    /// Message queues
    Mq,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Kind {
        match kind {
            KindArg::Shm => Kind::SharedMemory,
            KindArg::Sem => Kind::Semaphore,
            KindArg::Mq => Kind::MessageQueue,
        }
    }
}

fn parse_platform(key: &str) -> std::result::Result<&'static str, String> {
    let known = SCHEMES
        .iter()
        .find(|scheme| scheme.platform == key)
        .map(|scheme| scheme.platform);
    known.map_or_else(|| super::parse_scheme(key).map(|scheme| scheme.key), Ok)
}

/// A name to check, and where it was found.
struct Subject {
    kind: Kind,
    name: Vec<u8>,
    places: Vec<String>,
}

/// The answer for one name.
struct Report {
    subject: Subject,
    rows: Vec<(&'static Scheme, Verdict)>,
}

impl Report {
    fn new(subject: Subject, required: &[&str]) -> Report {
        let schemes: Vec<&'static Scheme> = if required.is_empty() {
            portable::current(subject.kind).collect()
        } else {
            let is_required = |scheme: &Scheme| {
                required
                    .iter()
                    .any(|&key| key == scheme.key || key == scheme.platform)
            };
            portable::objects(subject.kind)
                .filter(|scheme| is_required(scheme))
                .collect()
        };
        let rows = schemes
            .into_iter()
            .map(|scheme| (scheme, portable::verdict(scheme, &subject.name)))
            .collect();
        Report { subject, rows }
    }

    fn is_ok(&self) -> bool {
        self.rows.iter().all(|(_, verdict)| verdict.is_usable())
    }
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let named = args.names.iter().map(|name| Subject {
        kind: args.kind.into(),
        name: name.as_bytes().to_vec(),
        places: Vec::new(),
    });
    let mut subjects: Vec<Subject> = named.collect();
    let unresolved = read_sources(&args.from, &mut subjects)?;
    let reports: Vec<Report> = subjects
        .into_iter()
        .map(|subject| Report::new(subject, &args.require))
        .collect();
    let ok = reports.iter().all(Report::is_ok);
    if args.json {
        let reports = reports.iter().map(JsonReport::new).collect();
        output::json(
            out,
            &Document {
                ok,
                names: reports,
                unresolved,
            },
        )?;
    } else {
        for (index, report) in reports.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            print(report, out)?;
        }
        for place in &unresolved {
            writeln!(out, "{place}: not checked, the name is not in the text")?;
        }
    }
    Ok(if ok { ExitCode::Success } else { NO })
}

/// Adds the names in these files, each once; returns the calls whose names are not in the text.
fn read_sources(files: &[PathBuf], subjects: &mut Vec<Subject>) -> Result<Vec<String>> {
    let mut unresolved = Vec::new();
    let mut known = HashMap::new();
    for file in files {
        let extension = file
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        let Some(language) = Language::of_extension(extension) else {
            // Passed over, but only if it is there: it may be a name that --from took for a file.
            fs::metadata(file).map_err(|cause| Error::path("read", file, cause))?;
            continue;
        };
        let source = fs::read(file).map_err(|cause| Error::path("read", file, cause))?;
        for call in scan::calls(language, &source) {
            let place = place(file, &call);
            if call.names.is_empty() {
                unresolved.push(place);
                continue;
            }
            for name in call.names {
                let at = *known
                    .entry((call.kind, name.clone()))
                    .or_insert(subjects.len());
                if at == subjects.len() {
                    subjects.push(Subject {
                        kind: call.kind,
                        name,
                        places: Vec::new(),
                    });
                }
                subjects[at].places.push(place.clone());
            }
        }
    }
    Ok(unresolved)
}

fn place(file: &Path, call: &scan::Call) -> String {
    format!(
        "{}:{}: {}",
        output::show(file.as_os_str().as_bytes()),
        call.line,
        call.function
    )
}

fn print(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let Subject { kind, name, places } = &report.subject;
    for place in places {
        writeln!(out, "{place}")?;
    }
    let quoted = if name.is_empty() {
        Cow::Borrowed("\"\"")
    } else {
        output::show(name)
    };
    writeln!(out, "{quoted}: {}", summary(report))?;
    let rows: Vec<[Cow<'_, str>; 3]> = report
        .rows
        .iter()
        .map(|(scheme, verdict)| {
            [
                scheme.key.into(),
                word(verdict).into(),
                remark(scheme, verdict, name),
            ]
        })
        .collect();
    output::table(out, 2, &rows)?;
    let misses = portable::misses(*kind, name);
    if misses.is_empty() {
        return writeln!(out, "  It is a portable name.");
    }
    writeln!(
        out,
        "  It is not portable. A portable name of {}",
        article(*kind)
    )?;
    for rule in misses {
        writeln!(out, "    - {}", rule.text())?;
    }
    writeln!(
        out,
        "  Nearest portable name: {}",
        output::show(&portable::nearest(*kind, name))
    )
}

const fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::SharedMemory | Kind::LockFile => "shared memory",
        Kind::Semaphore => "a semaphore",
        Kind::MessageQueue => "a message queue",
    }
}

fn summary(report: &Report) -> String {
    let kind = report.subject.kind.name();
    let all = report.rows.len();
    let refused = report
        .rows
        .iter()
        .filter(|(_, verdict)| !verdict.is_usable())
        .count();
    match (all, refused) {
        (0, _) => format!("{kind}, which none of these platforms has"),
        (_, 0) => format!("{kind}, works on all {all} platforms"),
        (_, refused) => format!("{kind}, fails on {refused} of {all} platforms"),
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Works => "works",
        Verdict::Another => "another object",
        Verdict::Semaphore(_) => "collides",
        Verdict::Escapes => "escapes",
        Verdict::Refused(_) => "refused",
    }
}

fn remark<'a>(scheme: &Scheme, verdict: &Verdict, name: &[u8]) -> Cow<'a, str> {
    match verdict {
        Verdict::Works if needs_directory(scheme, name) => "if the directory exists".into(),
        Verdict::Works => "".into(),
        Verdict::Another => {
            let slashes = name.iter().take_while(|&&byte| byte == b'/').count();
            format!("than /{}", output::show(&name[slashes..])).into()
        }
        Verdict::Semaphore(semaphore) => {
            format!("is the file of semaphore {} too", output::show(semaphore)).into()
        }
        Verdict::Escapes => {
            "the platform opens what is no file of its directory, a view refuses".into()
        }
        Verdict::Refused(refusal) => refusal.name().into(),
    }
}

/// Whether a slash in the name is one between directories, which the platform does not make. Those that
/// illumos adds to a long name it makes itself.
fn needs_directory(scheme: &Scheme, name: &[u8]) -> bool {
    let slashes = name.iter().take_while(|&&byte| byte == b'/').count();
    let below = scheme
        .object(name)
        .ok()
        .and_then(|place| scheme.view_path(&place).ok());
    name[slashes..].contains(&b'/') && below.is_some_and(|path| path.contains(&b'/'))
}

#[derive(Serialize)]
struct Document {
    ok: bool,
    names: Vec<JsonReport>,
    unresolved: Vec<String>,
}

#[derive(Serialize)]
struct JsonReport {
    name: JsonBytes,
    kind: &'static str,
    ok: bool,
    portable: bool,
    misses: Vec<JsonRule>,
    nearest: JsonBytes,
    platforms: Vec<JsonVerdict>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<String>,
}

#[derive(Serialize)]
struct JsonRule {
    rule: &'static str,
    text: String,
}

#[derive(Serialize)]
struct JsonVerdict {
    scheme: &'static str,
    current: bool,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    semaphore: Option<JsonBytes>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    needs_directory: bool,
}

impl JsonReport {
    fn new(report: &Report) -> JsonReport {
        let Subject { kind, name, places } = &report.subject;
        let misses = portable::misses(*kind, name);
        JsonReport {
            name: JsonBytes::new(name),
            kind: kind.name(),
            ok: report.is_ok(),
            portable: misses.is_empty(),
            misses: misses
                .into_iter()
                .map(|rule| JsonRule {
                    rule: rule.id(),
                    text: rule.text(),
                })
                .collect(),
            nearest: JsonBytes::new(&portable::nearest(*kind, name)),
            platforms: report
                .rows
                .iter()
                .map(|(scheme, verdict)| JsonVerdict::new(scheme, verdict, name))
                .collect(),
            places: places.clone(),
        }
    }
}

impl JsonVerdict {
    fn new(scheme: &Scheme, verdict: &Verdict, name: &[u8]) -> JsonVerdict {
        let (errno, semaphore) = match verdict {
            Verdict::Works | Verdict::Another | Verdict::Escapes => (None, None),
            Verdict::Semaphore(semaphore) => (None, Some(JsonBytes::new(semaphore))),
            Verdict::Refused(refusal) => (Some(refusal.name()), None),
        };
        let current = scheme.age == Age::Current;
        JsonVerdict {
            scheme: scheme.key,
            current,
            verdict: word(verdict),
            errno,
            semaphore,
            needs_directory: *verdict == Verdict::Works && needs_directory(scheme, name),
        }
    }
}
