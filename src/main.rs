//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use lighterman::cli::{self, Arguments};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::start_log(&arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("lighterman: the runtime cannot start: {error}");
            return ExitCode::from(cli::FATAL);
        }
    };
    let code = runtime.block_on(cli::run(arguments)).unwrap_or_else(|error| {
        eprintln!("lighterman: {error:#}");
        cli::FATAL
    });
    // A blocking read of a slow disk must not hold the exit up.
    runtime.shutdown_background();
    ExitCode::from(code)
}
