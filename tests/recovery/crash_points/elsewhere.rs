//! Where a worker passes what is no operation: the making and freeing of files, compaction, recovery itself.

use std::fs;
use std::path::Path;

use super::{CONTENTS, DEADLINE, arm, faces, place_file, same};
use crate::support::{Mode as FileSystem, Outcome, Site, wait_until};

/// Places that are passed while others are worked at, or in the next worker.
const ELSEWHERE: [&str; 9] = [
    "file-made",
    "registered",
    "evicted",
    "in-compaction",
    "segment-dropped",
    "restored",
    "slots-resumed",
    "resent",
    "unregistered",
];

pub(super) fn all(site: &Site) -> Outcome {
    let file = place_file(site);
    site.expect_deaths();
    let mut dirs = faces::directories(site);
    dirs.push(site.dir.clone());
    let before = site.usage()?;
    let kept = site.dir.join("kept");
    fs::write(&kept, CONTENTS).map_err(|e| format!("write: {e}"))?;
    let mut number = 0;
    for place in ELSEWHERE {
        // Without passthrough nothing is registered, and the daemon never takes a registration back so soon.
        let registers = matches!(place, "registered" | "unregistered");
        if registers && site.mode != FileSystem::Passthrough {
            continue;
        }
        if let Some(file) = &file {
            arm(file, place, 0)?;
        }
        let recovery = matches!(place, "restored" | "slots-resumed" | "resent");
        let mut passed = || {
            number += 1;
            change_much(&dirs[number % dirs.len()], number)?;
            if let (true, Some(daemon)) = (recovery, site.daemon()) {
                let _ = crate::kills::kill_one(daemon);
            }
            Ok(file.as_ref().is_none_or(|file| !file.exists()))
        };
        wait_until(place, DEADLINE * 3, &mut passed)?;
        let bytes = fs::read(&kept).map_err(|e| format!("read after {place}: {e}"))?;
        same(place, &bytes.as_slice(), &CONTENTS)?;
    }
    fs::remove_file(&kept).map_err(|e| format!("remove: {e}"))?;
    site.wait_until_used(before)
}

/// Makes, changes and removes some files.
fn change_much(dir: &Path, number: usize) -> Outcome {
    let said = |e: std::io::Error| format!("change {number}: {e}");
    for count in 0..40 {
        let path = dir.join(format!("many-{number}-{count}"));
        fs::write(&path, CONTENTS).map_err(said)?;
        let again = path.with_extension("again");
        fs::rename(&path, &again).map_err(said)?;
        same(
            "contents",
            &fs::read(&again).map_err(said)?.as_slice(),
            &CONTENTS,
        )?;
        fs::remove_file(&again).map_err(said)?;
    }
    Ok(())
}
