//! The platform with calls that nobody records, as a server of its own: what recording costs is the
//! difference. It is composed here alone; no setting of the product does that.

use std::{
    io::{Error, Result},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use clap::Subcommand;
use dataos_gateway::{
    app::{App, RunningApp},
    config::{Config, Flags},
    observe,
};
use dataos_model::{
    fault::Fault,
    record::{Entry, Receipt},
    seams::{BoxFuture, Record},
};

/// Characters of a usual receipt.
const RECEIPT_CHARACTERS: usize = 600;

/// The command line of `dataos`, as far as the harness uses it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves until it is killed.
    Serve {
        /// Address and port.
        #[arg(long)]
        listen: SocketAddr,
        /// Folder that holds everything.
        #[arg(long)]
        data_dir: PathBuf,
        /// Configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

/// Answers at once, and keeps nothing.
#[derive(Debug)]
struct Nowhere {
    receipt: String,
}

impl Record for Nowhere {
    fn append(&self, _: Entry) -> BoxFuture<std::result::Result<Receipt, Fault>> {
        let text = self.receipt.clone();
        Box::pin(std::future::ready(Ok(Receipt { index: 0, text })))
    }
}

pub(crate) fn run(command: Command) -> Result<()> {
    let Command::Serve {
        listen,
        data_dir,
        config,
    } = command;
    let failed = |fault: Fault| Error::other(fault.to_string());
    let flags = Flags {
        config,
        listen: Some(listen.to_string()),
        data_dir: Some(data_dir),
        data: None,
        role: None,
    };
    let config = Config::load(&flags, std::iter::empty()).map_err(failed)?;
    let _log = observe::init_log(&config.log_level, config.log_format).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let receipt = "A".repeat(RECEIPT_CHARACTERS);
        let calls = |_| Arc::new(Nowhere { receipt }) as _;
        let app = App::start_with(config, calls, greet)
            .await
            .map_err(failed)?;
        std::future::pending::<()>().await;
        drop(app);
        Ok(())
    })
}

fn greet(app: &RunningApp) {
    println!("DataOS kernel listens on https://{}", app.address());
    if let Some((_, password)) = app.first_login() {
        println!("password: {password}");
    }
}
