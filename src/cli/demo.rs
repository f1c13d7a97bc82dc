//! `lighterman demo`: the main job on the samples, against the built-in sandbox.
use clap::Args;
#[derive(Debug, Args)]
pub struct Options {}
pub async fn run(_options: Options) -> anyhow::Result<u8> {
    anyhow::bail!("x")
}
pub fn world() -> &'static str {
    "{}"
}
