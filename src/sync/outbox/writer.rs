//! Writer: one outbox. It takes documents in the order of their numbers; what is cut off as one file
//! is noted before it is written, and what was written before its payload goes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::{Timestamp, Zoned};
use tokio::task::JoinHandle;

use super::render::{Rendered, render};
use super::{Common, local, remote, trouble};
use crate::config::{Folder, Gather, Outbox, Sftp};
use crate::disk;
use crate::ledger::{Queued, Store, Waits};
use crate::map::Context;
use crate::pipeline::{Parts, Pinnable};
use crate::sftp::{Line, Session};

/// How many files are written and noted together, where each document has its own.
const TOGETHER: usize = 64;

/// How many documents one file holds at most.
const ROWS: usize = 10_000;

/// How many bytes of documents become one file at most: it is held in memory.
const BYTES: u64 = 4 << 20;

/// How long apart it is tried at most.
const MOST: Duration = Duration::from_secs(300);

/// How long a folder on this machine may take for one file.
const ANSWER: Duration = Duration::from_secs(60);

/// How long a file counts as one of those that are made at once while it is put in its place.
const PLACE: Duration = Duration::from_secs(5);

/// How long one that is under way has to end once all is to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How long a session is held while there is nothing to write.
const HELD: Duration = Duration::from_secs(60);

/// The writer of one outbox.
pub struct Writer {
    common: Arc<Common>,
    customer: String,
    name: String,
    /// Everything up to this number is written, or refused and not tried again for now.
    after: u64,
    /// How often in a row nothing could be written.
    faults: u32,
    line: Option<(Arc<Sftp>, Line)>,
    /// A file on its way into a folder on this machine.
    under_way: Option<JoinHandle<anyhow::Result<String>>>,
}

/// What is to be written next.
enum Next {
    /// These documents.
    Documents(Vec<Queued>),
    /// Nothing before so long.
    Later(Duration),
}

impl Writer {
    pub fn new(common: &Arc<Common>, customer: String, name: String) -> Writer {
        Writer {
            common: Arc::clone(common),
            customer,
            name,
            after: 0,
            faults: 0,
            line: None,
            under_way: None,
        }
    }

    /// Writes until it is told to end; tells whether something is left that could not be written.
    pub async fn run(mut self) -> bool {
        let common = Arc::clone(&self.common);
        let wake = common.parts.outboxes.wake(&self.customer, &self.name);
        let mut again = common.parts.outboxes.again();
        while !common.stop.is_cancelled() {
            if again.has_changed().unwrap_or(false) {
                again.mark_unchanged();
                (self.after, self.faults) = (0, 0);
            }
            let ends = common.drain.is_cancelled();
            let pause = match self.turn().await {
                Ok(None) => {
                    self.faults = 0;
                    continue;
                }
                Ok(Some(pause)) => {
                    self.faults = 0;
                    pause
                }
                Err(error) => {
                    self.faults += 1;
                    self.line = None;
                    self.tell(&error).await;
                    Duration::from_secs(1 << (self.faults - 1).min(16)).min(MOST)
                }
            };
            if ends {
                break;
            }
            let wake = async || match self.faults {
                0 => wake.notified().await,
                // What comes changes nothing.
                _ => std::future::pending().await,
            };
            let held = if self.line.is_some() { HELD.min(pause) } else { pause };
            tokio::select! {
                () = wake() => {}
                () = tokio::time::sleep(held) => self.line = None,
                _ = again.changed() => again.mark_changed(),
                () = common.stop.cancelled() => {}
                () = common.drain.cancelled() => {}
            }
        }
        self.faults > 0
    }

    /// Writes what is next; tells how long to wait if nothing more can be done now.
    async fn turn(&mut self) -> anyhow::Result<Option<Duration>> {
        let (customer, name) = (self.customer.clone(), self.name.clone());
        let parts = Arc::clone(&self.common.parts);
        let waits =
            parts.ledger.change(move |store| Ok(trouble::look(store, &customer, &name))).await?;
        let Some(waits) = waits else { return Ok(Some(MOST)) };
        let Some((outbox, mapping)) = self.outbox(&parts) else {
            self.tell_gone(waits.waiting).await?;
            return Ok(Some(MOST));
        };
        if let Some((first, last)) = waits.outbox.cut {
            // What was refused before it is still to be tried.
            let before = self.after.min(first.saturating_sub(1));
            let is_next = self.queued(before, 1).await?.iter().all(|next| next.sequence >= first);
            let documents = self.queued(first.saturating_sub(1), ROWS).await?;
            let documents: Vec<Queued> =
                documents.into_iter().filter(|queued| queued.sequence <= last).collect();
            self.write_together(&outbox, &mapping, documents).await?;
            if !is_next {
                self.after = before;
            }
            return Ok(None);
        }
        match self.next(&outbox, &waits).await? {
            Next::Later(pause) => return Ok(Some(pause)),
            Next::Documents(documents) if outbox.gather.is_some() => {
                self.cut(&documents).await?;
                self.write_together(&outbox, &mapping, documents).await?;
            }
            Next::Documents(documents) => {
                self.write_each(&outbox, &mapping, documents).await?;
            }
        }
        Ok(None)
    }

    /// The outbox by today's config, and its mapping.
    fn outbox(&self, parts: &Parts) -> Option<(Outbox, Arc<Pinnable>)> {
        let setup = parts.setup();
        let setup = setup.of(&self.customer);
        let outbox = setup.config.customers.get(&self.customer)?.outboxes.get(&self.name)?;
        Some((outbox.clone(), Arc::clone(setup.mappings.get(&outbox.mapping)?)))
    }

    async fn next(&self, outbox: &Outbox, waits: &Waits) -> anyhow::Result<Next> {
        let Some(Gather { every, rows }) = outbox.gather else {
            let documents = self.queued(self.after, TOGETHER).await?;
            return Ok(match documents.is_empty() {
                true => Next::Later(MOST),
                false => Next::Documents(documents),
            });
        };
        let most = rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(ROWS);
        let oldest = self.queued(self.after, 1).await?;
        let Some(oldest) = oldest.first() else { return Ok(Next::Later(MOST)) };
        // A clock that was set back makes nothing wait longer.
        let waited = Timestamp::now().duration_since(oldest.queued);
        let waited = Duration::try_from(waited).unwrap_or_default();
        if waited < every && self.waiting(waits) < most as u64 {
            return Ok(Next::Later(every - waited));
        }
        let mut documents = self.queued(self.after, most).await?;
        let mut bytes = 0;
        let fits = documents.iter().take_while(|queued| {
            bytes += queued.bytes;
            bytes <= BYTES
        });
        documents.truncate(fits.count().max(1));
        Ok(Next::Documents(documents))
    }

    /// How many documents are to be tried: all that come, not to be read for each that does.
    fn waiting(&self, waits: &Waits) -> u64 {
        let (last, passed) = (waits.outbox.last, waits.outbox.passed);
        let again = if self.after < passed { waits.refused } else { 0 };
        last.saturating_sub(passed.max(self.after)) + again
    }

    async fn queued(&self, after: u64, limit: usize) -> anyhow::Result<Vec<Queued>> {
        let (customer, name) = (self.customer.clone(), self.name.clone());
        let ledger = &self.common.parts.ledger;
        ledger.change(move |store| store.queued(&customer, &name, after, limit)).await
    }

    /// Pins what is to be one file.
    async fn cut(&self, documents: &[Queued]) -> anyhow::Result<()> {
        let (Some(first), Some(last)) = (documents.first(), documents.last()) else {
            return Ok(());
        };
        let (first, last) = (first.sequence, last.sequence);
        let (customer, name) = (self.customer.clone(), self.name.clone());
        let ledger = &self.common.parts.ledger;
        ledger.update(move |store| store.cut(&customer, &name, first, last)).await
    }

    /// Writes documents as one file.
    async fn write_together(
        &mut self,
        outbox: &Outbox,
        mapping: &Arc<Pinnable>,
        documents: Vec<Queued>,
    ) -> anyhow::Result<()> {
        let rendered = self.write(outbox, mapping, &documents, false).await?;
        let Rendered { written, unwanted, gone, refused, .. } = rendered;
        self.pass(documents, [written, unwanted, gone].concat(), refused).await
    }

    /// Writes a file for each document.
    async fn write_each(
        &mut self,
        outbox: &Outbox,
        mapping: &Arc<Pinnable>,
        documents: Vec<Queued>,
    ) -> anyhow::Result<()> {
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        let mut failed = Ok(());
        for document in &documents {
            if self.common.stop.is_cancelled() {
                break;
            }
            match self.write(outbox, mapping, std::slice::from_ref(document), true).await {
                Ok(rendered) => {
                    done.extend([rendered.written, rendered.unwanted, rendered.gone].concat());
                    refused.extend(rendered.refused);
                }
                Err(error) => {
                    failed = Err(error);
                    break;
                }
            }
        }
        if !done.is_empty() || !refused.is_empty() {
            self.pass(documents, done, refused).await?;
        }
        failed
    }

    /// Makes a file and puts it where the ERP finds it, unless nothing stands in it. There is one in
    /// hand of each outbox: none is made before the last has come to its place, or is known not to.
    async fn write(
        &mut self,
        outbox: &Outbox,
        mapping: &Arc<Pinnable>,
        documents: &[Queued],
        alone: bool,
    ) -> anyhow::Result<Rendered> {
        if let Folder::Local(folder) = &outbox.folder {
            self.answers(folder).await?;
        }
        let common = Arc::clone(&self.common);
        let making = common.making.acquire().await?;
        let mut rendered = self.render(mapping, documents.to_vec(), alone).await?;
        for gone in &rendered.gone {
            let (customer, name, sequence) = (self.customer.clone(), self.name.clone(), *gone);
            let is_queued = move |store: &mut Store| store.is_queued(&customer, &name, sequence);
            if !common.parts.ledger.change(is_queued).await? {
                // A person has discarded it meanwhile.
                continue;
            }
            tracing::error!(
                customer = %self.customer,
                "Document {gone} of the outbox {} is lost: what it says is gone from {}; it is \
                 passed over",
                self.name,
                common.parts.spool.payloads().display()
            );
        }
        let bytes = std::mem::take(&mut rendered.bytes);
        let put = self.put(outbox, mapping, documents, &rendered, bytes);
        // A place that hangs must not keep the others' files from being made.
        let hangs = async {
            tokio::time::sleep(PLACE).await;
            drop(making);
            std::future::pending().await
        };
        tokio::select! {
            put = put => put?,
            () = hangs => {}
        }
        Ok(rendered)
    }

    async fn render(
        &self,
        mapping: &Arc<Pinnable>,
        documents: Vec<Queued>,
        alone: bool,
    ) -> anyhow::Result<Rendered> {
        let context = Context { customer: self.customer.clone(), date: Zoned::now().date() };
        let (spool, mapping) = (self.common.parts.spool.clone(), Arc::clone(mapping));
        let rendered = tokio::task::spawn_blocking(move || {
            render(&spool, &mapping.mapping, &context, &documents, alone)
        });
        rendered.await?
    }

    /// Puts a file where the ERP finds it, unless nothing stands in it.
    async fn put(
        &mut self,
        outbox: &Outbox,
        mapping: &Pinnable,
        documents: &[Queued],
        rendered: &Rendered,
        bytes: Vec<u8>,
    ) -> anyhow::Result<()> {
        let Some(first) = rendered.written.first() else { return Ok(()) };
        let event = documents
            .iter()
            .find(|queued| queued.sequence == *first)
            .map_or("", |queued| queued.event.as_str());
        let name = outbox.file_name(*first, event, mapping.mapping.output.word());
        let markers = outbox.clone();
        let marker = move |name: &str| markers.marker_name(name);
        let name = match &outbox.folder {
            Folder::Local(folder) => {
                let (folder, at) = (folder.clone(), folder);
                self.under_way = Some(tokio::task::spawn_blocking(move || {
                    local::put(&folder, &name, marker, &bytes)
                }));
                self.answers(at).await?.context("nothing was under way")?
            }
            Folder::Sftp(sftp) => {
                let (folder, bytes) = (sftp.path.clone(), Arc::new(bytes));
                self.ask(sftp, move |session| remote::put(session, &folder, &name, &marker, &bytes))
                    .await?
            }
        };
        let (outbox, last) = (&outbox.name, rendered.written.last().unwrap_or(first));
        tracing::info!(
            customer = %self.customer,
            "{name} is written to the outbox {outbox}: {} documents, {first} to {last}",
            rendered.written.len()
        );
        Ok(())
    }

    /// Waits for what is under way in a folder, if anything is: one that does not answer may hold
    /// it for good. Nothing else is begun there before it has ended.
    async fn answers(&mut self, folder: &Path) -> anyhow::Result<Option<String>> {
        let Some(mut under_way) = self.under_way.take() else { return Ok(None) };
        let stop = async {
            self.common.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            put = &mut under_way => return Ok(Some(put??)),
            () = tokio::time::sleep(ANSWER) => {}
            () = stop => {}
        }
        self.under_way = Some(under_way);
        bail!("the folder {} has not answered for {} s", folder.display(), ANSWER.as_secs())
    }

    /// Has something done at the server. A session that has ended since it was last used is opened
    /// anew.
    async fn ask<T: Send + 'static>(
        &mut self,
        sftp: &Arc<Sftp>,
        what: impl Fn(&Session) -> anyhow::Result<T> + Clone + Send + 'static,
    ) -> anyhow::Result<T> {
        if let Some((place, line)) = self.line.take().filter(|(place, _)| place == sftp) {
            let asked = what.clone();
            match line.ask(move |session| asked(session)).await? {
                Err(error) if Session::is_broken(&error) => {}
                done => {
                    self.line = Some((place, line));
                    return done;
                }
            }
        }
        let parts = &self.common.parts;
        let line = parts.logins.open(sftp, &parts.ledger, &self.common.stop).await??;
        let done = line.ask(move |session| what(session)).await?;
        self.line = Some((Arc::clone(sftp), line));
        done
    }

    /// Notes what became of documents; then what they said is not needed any more.
    async fn pass(
        &mut self,
        documents: Vec<Queued>,
        written: Vec<u64>,
        refused: Vec<(u64, String)>,
    ) -> anyhow::Result<()> {
        let passed = written.iter().chain(refused.iter().map(|(sequence, _)| sequence)).max();
        let after = passed.copied().unwrap_or(self.after);
        let (customer, name, done) = (self.customer.clone(), self.name.clone(), written.clone());
        let parts = &self.common.parts;
        parts
            .ledger
            .change(move |store| {
                store.pass(&customer, &name, &done, &refused)?;
                trouble::after_pass(store, &customer, &name, &refused);
                Ok(())
            })
            .await?;
        self.after = self.after.max(after);
        let spool = parts.spool.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let gone = documents.iter().filter(|queued| written.contains(&queued.sequence));
            gone.map(|queued| spool.payload(&queued.payload))
                .try_for_each(|path| disk::remove(&path))
        });
        if let Err(error) = removed.await? {
            tracing::warn!("What was written to an outbox is cleared by the next run: {error}");
        }
        Ok(())
    }

    async fn tell(&self, error: &anyhow::Error) {
        if self.common.stop.is_cancelled() {
            return;
        }
        let Some((outbox, _)) = self.outbox(&self.common.parts) else { return };
        let alarm = trouble::of_error(&self.customer, &outbox, error);
        tracing::error!(customer = %self.customer, "{}", alarm.advice);
        let (customer, name) = (self.customer.clone(), self.name.clone());
        let raised = self.common.parts.ledger.update(move |store| {
            // One trouble takes another's place.
            store.clear(|held| {
                trouble::is_of(held, &customer, &name)
                    && held.kind != alarm.kind
                    && held.kind != crate::ledger::AlarmKind::Outbox
            });
            store.raise(alarm);
        });
        if let Err(error) = raised.await {
            tracing::error!("The alarm cannot be noted: {error:#}");
        }
    }

    /// The config has no such outbox. Of a customer whose whole config is broken that is told
    /// already.
    async fn tell_gone(&self, waiting: u64) -> anyhow::Result<()> {
        let parts = &self.common.parts;
        if parts.setup().config.broken.contains_key(&self.customer) {
            return Ok(());
        }
        let alarm = trouble::of_gone(&self.customer, &self.name, waiting);
        tracing::error!(customer = %self.customer, "{}", alarm.advice);
        parts
            .ledger
            .update(move |store| {
                store.raise(alarm);
            })
            .await
    }
}
