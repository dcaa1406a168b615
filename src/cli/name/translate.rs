//! `shmfs name translate`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;

use super::output::{self, JsonBytes};
use super::{Failure, OpArg, Outcome, Selection};
use crate::error::{Error, ExitCode, Result};
use crate::view::{Answer, NameOp, Place, Scheme};

/// Padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scheme to ask, or 'all'; may be given several times
    #[arg(long, value_name = "KEY", value_delimiter = ',', default_value = "all", value_parser = Selection::parse)]
    scheme: Vec<Selection>,
    /// The call that gets the name
    #[arg(long, value_enum, default_value = "open")]
    op: OpArg,
    /// Print one JSON array
    #[arg(long, conflicts_with = "base64")]
    json: bool,
    /// Read names in base64 from standard input, one a line, and print one JSON object a line
    #[arg(long)]
    base64: bool,
    /// The names, as a program passes them
    #[arg(value_name = "NAME", required_unless_present = "base64")]
    names: Vec<OsString>,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let schemes = Selection::schemes(&args.scheme);
    let op = NameOp::from(args.op);
    for name in &args.names {
        refuse_nul(name.as_bytes())?;
    }
    if args.base64 {
        return stream(&args.names, &schemes, op, out);
    }
    if args.json {
        let answers: Vec<_> = args
            .names
            .iter()
            .flat_map(|name| {
                schemes
                    .iter()
                    .map(|scheme| JsonAnswer::new(scheme, op, name.as_bytes()))
            })
            .collect();
        output::json(out, &answers)?;
        return Ok(ExitCode::Success);
    }
    for (index, name) in args.names.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        print(name.as_bytes(), &schemes, op, out)?;
    }
    Ok(ExitCode::Success)
}

/// A name ends at its first NUL, so none can hold one.
fn refuse_nul(name: &[u8]) -> Result<()> {
    if name.contains(&0) {
        Err(Error::usage("a name cannot hold a NUL byte"))
    } else {
        Ok(())
    }
}

fn print(name: &[u8], schemes: &[&Scheme], op: NameOp, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", output::show(name))?;
    let answers: Vec<(&Scheme, Answer)> = schemes
        .iter()
        .map(|&scheme| (scheme, scheme.translate(op, name)))
        .collect();
    let rows: Vec<[Cow<'_, str>; 4]> = answers
        .iter()
        .map(|(scheme, answer)| {
            let (kind, value, remark) = describe(scheme, answer);
            [scheme.key.into(), kind.into(), value, remark]
        })
        .collect();
    output::table(out, 2, &rows)
}

fn describe<'a>(scheme: &Scheme, answer: &'a Answer) -> (&'static str, Cow<'a, str>, Cow<'a, str>) {
    let place = match answer {
        Ok(place) => place,
        Err(refusal) => return ("error", refusal.name().into(), "".into()),
    };
    let remark = match scheme.effective(place) {
        Some(errno) => format!("(to open it fails: {errno:?})").into(),
        None if scheme.view_path(place).is_err() => "(outside the directory)".into(),
        None => "".into(),
    };
    match place {
        Place::Path(path) => ("path", output::show(path), remark),
        Place::Key(key) => ("key", output::show(key), remark),
        Place::Hash(hash) => ("key", format!("{hash:#010x}").into(), remark),
    }
}

/// An answer as `--base64` prints it.
#[derive(Serialize)]
struct Line<'a> {
    scheme: &'a str,
    op: &'a str,
    name: &'a str,
    kind: &'a str,
    value: Value<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(&'a str),
    Number(u32),
}

fn stream(names: &[OsString], schemes: &[&Scheme], op: NameOp, out: &mut dyn Write) -> Outcome {
    if !names.is_empty() {
        for (index, name) in names.iter().enumerate() {
            answer_line(name.as_bytes(), index + 1, schemes, op, out)?;
        }
        return Ok(ExitCode::Success);
    }
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input.read_until(b'\n', &mut line);
        if read.map_err(|cause| Error::system("cannot read standard input", cause))? == 0 {
            break;
        }
        answer_line(line.trim_ascii(), number, schemes, op, out)?;
    }
    Ok(ExitCode::Success)
}

fn answer_line(
    encoded: &[u8],
    number: usize,
    schemes: &[&Scheme],
    op: NameOp,
    out: &mut dyn Write,
) -> std::result::Result<(), Failure> {
    let name = BASE64
        .decode(encoded)
        .map_err(|cause| Error::usage(format!("line {number} is not a name in base64: {cause}")))?;
    refuse_nul(&name)?;
    let encoded = output::base64(&name);
    let mut buffer = String::new();
    for scheme in schemes {
        let answer = scheme.translate(op, &name);
        serde_json::to_writer(
            &mut *out,
            &Line::new(scheme, op, &encoded, &answer, &mut buffer),
        )?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

impl<'a> Line<'a> {
    fn new(
        scheme: &'a Scheme,
        op: NameOp,
        name: &'a str,
        answer: &'a Answer,
        buffer: &'a mut String,
    ) -> Line<'a> {
        let effective = answer
            .as_ref()
            .ok()
            .and_then(|place| scheme.effective(place))
            .and_then(|errno| errno.name());
        let mut encode = |bytes: &[u8]| {
            buffer.clear();
            base64::prelude::BASE64_STANDARD.encode_string(bytes, buffer);
        };
        let (kind, value) = match answer {
            Ok(Place::Path(path)) => {
                encode(path);
                ("path", Value::Text(buffer))
            }
            Ok(Place::Key(key)) => {
                encode(key);
                ("kernel", Value::Text(buffer))
            }
            Ok(Place::Hash(hash)) => ("kernel", Value::Number(*hash)),
            Err(refusal) => ("error", Value::Text(refusal.name())),
        };
        Line {
            scheme: scheme.key,
            op: op.name(),
            name,
            kind,
            value,
            effective,
        }
    }
}

/// An answer as `--json` prints it.
#[derive(Serialize)]
struct JsonAnswer {
    scheme: &'static str,
    op: &'static str,
    name: JsonBytes,
    kind: &'static str,
    value: JsonValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    outside: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum JsonValue {
    Bytes(JsonBytes),
    Number(u32),
    Errno(&'static str),
}

impl JsonAnswer {
    fn new(scheme: &Scheme, op: NameOp, name: &[u8]) -> JsonAnswer {
        let answer = scheme.translate(op, name);
        let place = answer.as_ref().ok();
        let effective = place
            .and_then(|place| scheme.effective(place))
            .and_then(|errno| errno.name());
        let outside = place.is_some_and(|place| scheme.view_path(place).is_err());
        let (kind, value) = match answer {
            Ok(Place::Path(path)) => ("path", JsonValue::Bytes(JsonBytes::new(&path))),
            Ok(Place::Key(key)) => ("kernel", JsonValue::Bytes(JsonBytes::new(&key))),
            Ok(Place::Hash(hash)) => ("kernel", JsonValue::Number(hash)),
            Err(refusal) => ("error", JsonValue::Errno(refusal.name())),
        };
        JsonAnswer {
            scheme: scheme.key,
            op: op.name(),
            name: JsonBytes::new(name),
            kind,
            value,
            effective,
            outside,
        }
    }
}
