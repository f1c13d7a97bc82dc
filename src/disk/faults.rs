//! Faults: where a test has asked for the disk to fail, or for the process to end. In debug builds
//! only, by two variables that are read once:
//!
//! * `LIGHTERMAN_STEPS=FILE` writes every step to a file, a line each: what it does, and to the last
//!   two parts of which path.
//! * `LIGHTERMAN_FAULT=WHAT;at;N;STEP` breaks the Nth time that this step is taken, and
//!   `LIGHTERMAN_FAULT=WHAT;while;FLAG;PREFIX` every step below a path while a file is there. WHAT
//!   is `kill`, `hang`, or the name of an error: `ENOSPC`, `EIO`, `EACCES`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

struct Plan {
    steps: Option<Mutex<File>>,
    fault: Option<(What, Where)>,
    taken: Mutex<HashMap<String, u64>>,
}

#[derive(Clone, Copy)]
enum What {
    Kill,
    Hang,
    Error(Errno),
}

enum Where {
    At(u64, String),
    While(PathBuf, PathBuf),
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let steps = std::env::var_os("LIGHTERMAN_STEPS")
        .and_then(|path| File::options().append(true).create(true).open(path).ok().map(Mutex::new));
    let fault = std::env::var("LIGHTERMAN_FAULT").ok().and_then(|fault| parse(&fault));
    Plan { steps, fault, taken: Mutex::default() }
});

/// Meets the fault that is planned for a step, if one is; `half` does a part of the step before.
pub fn meet(what: &str, path: &Path, half: impl FnOnce()) -> io::Result<()> {
    let plan = &*PLAN;
    if plan.steps.is_none() && plan.fault.is_none() {
        return Ok(());
    }
    let step = name(what, path);
    if let Some(steps) = &plan.steps {
        let _ = writeln!(steps.lock().unwrap_or_else(PoisonError::into_inner), "{step}");
    }
    let Some((fault, place)) = &plan.fault else { return Ok(()) };
    let is_here = match place {
        Where::At(nth, wanted) => {
            let mut taken = plan.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let times = taken.entry(step.clone()).or_default();
            *times += 1;
            *wanted == step && *times == *nth
        }
        Where::While(flag, prefix) => path.starts_with(prefix) && flag.exists(),
    };
    if !is_here {
        return Ok(());
    }
    half();
    match fault {
        What::Error(error) => Err(io::Error::from(*error)),
        What::Hang => loop {
            std::thread::park();
        },
        What::Kill => {
            eprintln!("killed before: {step}");
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

/// What a step does and to what, the same in every run: without the name of the installation, which
/// stands in the hidden names of claims.
fn name(what: &str, path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .rev()
        .take(2)
        .map(|part| {
            let part = part.as_os_str().to_string_lossy();
            match part.strip_prefix(".lighterman-").map(|rest| rest.rsplit_once('-')) {
                Some(Some((_, arrival))) => format!(".lighterman-…-{arrival}"),
                _ => part.into_owned(),
            }
        })
        .collect();
    format!("{what} {}", parts.into_iter().rev().collect::<Vec<_>>().join("/"))
}

fn parse(fault: &str) -> Option<(What, Where)> {
    let mut parts = fault.splitn(4, ';');
    let what = match parts.next()? {
        "kill" => What::Kill,
        "hang" => What::Hang,
        "ENOSPC" => What::Error(Errno::NOSPC),
        "EIO" => What::Error(Errno::IO),
        "EACCES" => What::Error(Errno::ACCESS),
        _ => return None,
    };
    let place = match (parts.next()?, parts.next()?, parts.next()?) {
        ("at", nth, step) => Where::At(nth.parse().ok()?, step.to_owned()),
        ("while", flag, prefix) => Where::While(flag.into(), prefix.into()),
        _ => return None,
    };
    Some((what, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_same_name_in_every_run() {
        assert_eq!(
            name("rename", Path::new("/tmp/x1/inbox/acme/.lighterman-0a1b2c3d4e5f-7")),
            "rename acme/.lighterman-…-7"
        );
        assert_eq!(name("sync", Path::new("/tmp/x2/state/test/ledger")), "sync test/ledger");
    }
}
