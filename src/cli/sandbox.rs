//! `lighterman sandbox`: the stand-in of the port's servers, alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::WELL;
use crate::sandbox::{Sandbox, World};

#[derive(Debug, Args)]
pub struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8480", value_name = "ADDR")]
    listen: SocketAddr,
    /// What exists at the start: clients, users, channels, releases [default: ./sandbox.json, then
    /// that of the samples]
    #[arg(long, value_name = "PATH")]
    world: Option<PathBuf>,
}

pub async fn run(options: Options) -> anyhow::Result<u8> {
    let beside = PathBuf::from("sandbox.json");
    let path = options.world.or_else(|| beside.exists().then_some(beside));
    let (text, from) = match &path {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            (text, path.display().to_string())
        }
        None => (super::demo::world().to_owned(), "the samples".to_owned()),
    };
    let world: World =
        serde_json::from_str(&text).with_context(|| format!("{from} is not a sandbox's world"))?;
    let stop = super::demo::stop_on_signal()?;
    // Whoever names another address than loopback wants it.
    let sandbox = Sandbox::start_anywhere(world, options.listen).await?;
    println!("{}", sandbox.url());
    eprintln!("listening on {}; what exists is from {from}; see /_log and /_stats", sandbox.url());
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(WELL)
}
