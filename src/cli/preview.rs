//! `lighterman preview`
use super::Setting;
use clap::Args;
#[derive(Debug, Args)]
pub struct Options {}
pub fn run(_s: &Setting, _options: Options) -> anyhow::Result<u8> {
    anyhow::bail!("x")
}
