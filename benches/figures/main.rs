//! Every figure of the speed goals, beside tmpfs and a do-nothing FUSE daemon: see benches/README.md.

mod bare;
mod measure;
mod place;
mod report;
mod rows;
mod sys;
mod trace;

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use place::Place;
use report::Report;

const USAGE: &str = "\
usage: cargo bench [-- [--quick] [--stand-in] [NAME…]]
  NAME        run only these: bare mapped rw cycle open crowd cache million views exports journal, and on
              request swarm
  --quick     fewer rounds and 100,000 objects instead of 1,000,000
  --stand-in  a second tmpfs in the place of shmfs: shows the noise, every ratio should be 1";

/// What was asked for on the command line.
#[derive(Debug, Default)]
struct Request {
    quick: bool,
    stand_in: bool,
    names: Vec<String>,
}

/// What every row works with.
#[derive(Debug)]
pub(crate) struct Context {
    place: Place,
    report: Report,
    tracer: Option<trace::Tracer>,
    quick: bool,
}

impl Context {
    /// Rounds of a measurement.
    fn rounds(&self, usual: usize) -> usize {
        if self.quick { usual.div_ceil(4) } else { usual }
    }
}

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if env::args_os().nth(1).is_some_and(|a| a == "--guest") {
        let dir = arguments.nth(1).unwrap_or_default();
        return exit(place::Guest::serve(&dir, rows::guest_task));
    }
    match parse(arguments) {
        Ok(request) => exit(Place::enter(|| run(&request))),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn exit(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let mut request = Request::default();
    for argument in arguments {
        match argument.to_str() {
            // cargo's own.
            Some("--bench") => {}
            Some("--quick") => request.quick = true,
            Some("--stand-in") => request.stand_in = true,
            Some("-h" | "--help") => return Err(USAGE.to_owned()),
            Some(name) if rows::ALL.iter().any(|row| row.name == name) => {
                request.names.push(name.to_owned());
            }
            _ => return Err(format!("unknown argument {argument:?}\n{USAGE}")),
        }
    }
    Ok(request)
}

/// Rounds are interleaved, but a daemon that waits for a CPU is slow all the same.
fn warn_if_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load.split(['/', ' ']).nth(3).and_then(|n| n.parse().ok());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if running.is_some_and(|running: usize| running > cpus / 2 + 1) {
        println!(
            "This machine is busy ({}): expect wide quartiles.",
            load.trim_end()
        );
    }
}

fn run(request: &Request) -> io::Result<()> {
    let place = Place::new(request.stand_in)?;
    let tracer = trace::Tracer::new(&place.path("tracing"));
    if let Err(error) = &tracer {
        println!("Round trips are not counted: {error}");
    }
    let mut context = Context {
        place,
        report: Report::default(),
        tracer: tracer.ok(),
        quick: request.quick,
    };
    warn_if_busy();
    context.report.header();
    for row in rows::ALL {
        let wanted = match request.names.is_empty() {
            true => row.by_default,
            false => request.names.iter().any(|name| name == row.name),
        };
        if wanted {
            println!("{}: {}", row.name, row.title);
            if let Err(error) = (row.run)(&mut context) {
                context.report.fail(&error);
            }
        }
    }
    context.report.summary()
}
