//! Scene: a world brought to life, and which of its servers a call is for.

use std::sync::Arc;

use anyhow::{Context, bail};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::answer::Answer;
use super::cpu::{self, Cpu};
use super::gate::Inside;
use super::ingestion::{self, Channel, Ingestion};
use super::scr::{Action, Api};
use super::stats::Stats;
use super::token::{self, TokenServer};
use super::world::World;

pub(super) struct Scene {
    pub tokens: TokenServer,
    pub ingestion: Ingestion,
    pub scr: Vec<Arc<Api>>,
    pub cpu: Cpu,
}

/// What a call is for.
pub(super) enum Place {
    Token,
    Ingestion(Option<Arc<Channel>>),
    Scr(Arc<Api>, Action),
    Cpu,
    Nowhere,
}

impl Scene {
    pub fn build(world: World) -> anyhow::Result<Scene> {
        let tokens = TokenServer::build(&world)?;
        let ingestion = Ingestion::build(&world, &tokens)?;
        let cpu = Cpu::build(&world, &tokens)?;
        let mut scr = Vec::<Arc<Api>>::new();
        for api in &world.scr {
            let built = Api::build(api).with_context(|| format!("SCR API {:?}", api.path))?;
            let path = built.path();
            let taken = [token::PATH, ingestion::PATH, cpu::PATH, "/_"];
            if taken.iter().any(|taken| is_below(path, taken)) || path.starts_with("/_") {
                bail!("SCR API {path:?}: the sandbox itself answers there; take another path");
            }
            if let Some(other) =
                scr.iter().find(|api| is_below(api.path(), path) || is_below(path, api.path()))
            {
                bail!("SCR APIs {path:?} and {:?}: one lies within the other", other.path());
            }
            scr.push(Arc::new(built));
        }
        Ok(Scene { tokens, ingestion, scr, cpu })
    }

    /// Where a call goes. Counts it there.
    pub fn place(&self, parts: &Parts) -> Place {
        let path = parts.uri.path();
        if path == token::PATH {
            self.tokens.note_call();
            return Place::Token;
        }
        if is_below(path, ingestion::PATH) {
            let id = path[ingestion::PATH.len()..].trim_start_matches('/');
            return Place::Ingestion(self.ingestion.channel(id));
        }
        if is_below(path, cpu::PATH) {
            self.cpu.note_call(parts);
            return Place::Cpu;
        }
        match self.scr.iter().find(|api| is_below(path, api.path())) {
            Some(api) => {
                let action = Action::of(&parts.method, &path[api.path().len()..]);
                api.note_call(&action);
                Place::Scr(api.clone(), action)
            }
            None => Place::Nowhere,
        }
    }

    pub fn scr_api(&self, path: &str) -> anyhow::Result<&Arc<Api>> {
        let path = path.trim_end_matches('/');
        self.scr
            .iter()
            .find(|api| api.path() == path)
            .with_context(|| format!("there is no SCR API under {path:?}"))
    }

    pub fn stats(&self) -> Stats {
        Stats {
            token: self.tokens.stats(),
            ingestion: self.ingestion.stats(),
            scr: self.scr.iter().map(|api| (api.path().to_string(), api.stats())).collect(),
            cpu: self.cpu.stats(),
        }
    }

    /// Works a call that no fault keeps from it.
    pub async fn work(&self, place: &Place, parts: &Parts, body: &[u8], seq: u64) -> Answer {
        match place {
            Place::Token => self.tokens.answer(parts, body),
            Place::Ingestion(channel) => {
                ingestion::answer(channel.as_deref(), &self.tokens, parts, body)
            }
            Place::Scr(api, action) => api.work(action, parts, body, seq).await,
            Place::Cpu => self.cpu.answer(&self.tokens, parts, body),
            Place::Nowhere => Answer::text(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }
}

impl Place {
    /// Counts the call as open at its server until what is returned is dropped.
    pub fn enter(&self) -> Option<Inside> {
        match self {
            Place::Ingestion(channel) => channel.as_ref().map(|channel| channel.open.enter(None)),
            Place::Scr(api, action) => api.enter(action),
            Place::Token | Place::Cpu | Place::Nowhere => None,
        }
    }
}

/// Whether `path` is `base` or lies below it.
fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
