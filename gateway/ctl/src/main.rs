//! `dataos-ctl`: the public API for people at a terminal, scripts and CI.
//!
//! Enters: arguments, environment, a context file, manifests. Leaves: the result on stdout and
//! nothing else there; hints, warnings and errors on stderr; an exit code (0 done, 1 failed, 2 usage,
//! 3 denied, 4 unreachable). Never done here: a decision, a private endpoint, a secret from an
//! argument.

mod arguments;
mod failure;

mod context;
mod manifest;

mod client;
mod events;

mod commands;
mod provider;

mod output;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let mut output = output::Output::new(&arguments.global);
    // A second provider in the tree would make rustls guess; it is named once, here.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return output.failure(&failure::Failure::failed(format!(
                "cannot start the runtime: {error}"
            )));
        }
    };
    match runtime.block_on(commands::run(arguments, &mut output)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => output.failure(&failure),
    }
}
