//! Verification of a whole folder with the log's public key alone: sealed files, segments, contents.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use dataos_model::hash::Hash;
use dataos_proof::{
    Digest,
    checkpoint::Checkpoint,
    frame::segment_first,
    log::{Damage, DamageKind, LogSummary, Scanner, Signatures, WholeBatch},
    note::VerifierKey,
    tile::{LeafTile, TileTree},
    tree::Frontier,
};

use crate::{
    contents,
    directory::names,
    row::Row,
    sealed::{
        FILE_SUFFIX, INDEX_SUFFIX, TILE_ROWS,
        build::{BadPack, Builder, read_all},
        file::SealedFile,
        file_name, first_of,
        index::{Index, IndexError},
        index_name,
    },
};

const TILE: u64 = TILE_ROWS as u64;

/// What a folder holds, when it verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectorySummary {
    /// The log as a whole; `segments`, `batches` and `bytes` are those of the segments alone.
    pub log: LogSummary,
    /// Number of sealed files.
    pub packs: u64,
    /// Number of entries in them.
    pub sealed: u64,
    /// Bytes of them and of their indexes.
    pub sealed_bytes: u64,
}

/// What was proven of one sealed file.
#[derive(Debug)]
struct Proven {
    /// Root of each tile.
    roots: Vec<Digest>,
    /// The leaves of tiles that somebody asked for.
    leaves: Vec<LeafTile>,
    first_time_ms: i64,
    last_time_ms: i64,
    bytes: u64,
    /// The checkpoint in its index, verified.
    note: Option<Checkpoint>,
    /// The contents that its entries name, and the first that names each.
    contents: BTreeMap<Hash, u64>,
}

/// How closely the indexes of sealed files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexes {
    /// Each is made again from its entries and compared byte for byte: nothing is hidden from searches.
    /// Takes more than twice the time of the entries alone.
    MadeAgain,
    /// By checksums, and by the hashes of entries that they hold: what proofs and answers stand on.
    AsTheyAre,
}

/// Verifies the folder of a log that nobody writes to, or a copy of one: every entry of every sealed
/// file and segment, every index, every signature, and that the log continues the folder's
/// checkpoint file and each of the `known` checkpoints (verified before). Reads sealed files with as
/// many `threads`, each of which holds about 100 MB.
///
/// # Errors
/// The first damage, in the order of entries.
pub fn verify_directory(
    directory: &Path,
    key: &VerifierKey,
    known: Vec<Checkpoint>,
    threads: usize,
    indexes: Indexes,
) -> Result<DirectorySummary, Damage> {
    let list = names(directory).map_err(|error| unreadable(".", &error))?;
    let firsts: Vec<u64> = list
        .iter()
        .filter_map(|name| first_of(name, FILE_SUFFIX))
        .collect();
    let lost = list.iter().filter_map(|name| first_of(name, INDEX_SUFFIX));
    if let Some(lost) = lost.into_iter().find(|first| !firsts.contains(first)) {
        let why = "it is missing, but its index is there".to_owned();
        return Err(at(&file_name(lost), 0, lost, DamageKind::SealedFile(why)));
    }
    let segments: Vec<&String> = list
        .iter()
        .filter(|name| segment_first(name).is_some())
        .collect();
    let start = segments
        .first()
        .and_then(|name| segment_first(name))
        .unwrap_or(0);
    let mut known = known;
    known.extend(checkpoint_file(directory, key)?);
    // Tiles that the segments or a checkpoint end within. What an index says is proven later.
    let notes = firsts.iter().filter_map(|first| {
        let (index, _) = Index::open(&directory.join(index_name(*first)), *first).ok()?;
        Checkpoint::parse_note(&index.note).ok()
    });
    let ends = known
        .iter()
        .cloned()
        .chain(notes)
        .map(|known| known.size)
        .chain([start]);
    let partial: Vec<u64> = ends
        .filter(|end| end % TILE > 0)
        .map(|end| end / TILE)
        .collect();
    let packs = prove_all(directory, key, &firsts, &partial, (threads, indexes))?;
    let base = stand_on(&packs, &firsts, start)?;
    known.extend(packs.iter().filter_map(|pack| pack.note.clone()));
    let (log, mut contents) = prove_segments(directory, key, &segments, base, known)?;
    // The earliest last, whose entry is the one to name.
    let sealed = packs.iter().rev().flat_map(|pack| &pack.contents);
    contents.extend(sealed.map(|(digest, index)| (*digest, *index)));
    contents::check(directory, &contents)?;
    let tiles: usize = packs.iter().map(|pack| pack.roots.len()).sum();
    let sealed = tiles as u64 * TILE;
    let oldest = packs.first().map(|pack| pack.first_time_ms);
    Ok(DirectorySummary {
        log: LogSummary {
            first_time_ms: oldest.or(log.first_time_ms),
            ..log
        },
        packs: packs.len() as u64,
        sealed,
        sealed_bytes: packs.iter().map(|pack| pack.bytes).sum(),
    })
}

fn unreadable(file: &str, error: &io::Error) -> Damage {
    at(file, 0, 0, DamageKind::Unreadable(error.to_string()))
}

fn at(file: &str, offset: u64, index: u64, kind: DamageKind) -> Damage {
    let file = file.to_owned();
    Damage {
        file,
        offset,
        index,
        kind,
    }
}

/// Entries that no file holds: from the first that is missing to the next that is there.
fn missing(expected: u64, found: u64) -> Damage {
    let why = format!("it is missing; the next file begins with entry {found}");
    at(
        &file_name(expected),
        0,
        expected,
        DamageKind::SealedFile(why),
    )
}

fn checkpoint_file(directory: &Path, key: &VerifierKey) -> Result<Option<Checkpoint>, Damage> {
    match fs::read_to_string(directory.join("checkpoint")) {
        Ok(note) => Checkpoint::open(&note, key)
            .map(Some)
            .map_err(|error| at("checkpoint", 0, 0, error.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable("checkpoint", &error)),
    }
}

/// Proves all sealed files, each against itself and its index.
fn prove_all(
    directory: &Path,
    key: &VerifierKey,
    firsts: &[u64],
    partial: &[u64],
    (threads, indexes): (usize, Indexes),
) -> Result<Vec<Proven>, Damage> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, firsts.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(first) = firsts.get(position) else {
                        return;
                    };
                    let proven = prove(directory, key, *first, partial, indexes);
                    if proven.is_err() {
                        // What is behind does not matter any more.
                        next.store(firsts.len(), Ordering::Relaxed);
                    }
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((position, proven));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, proven)| proven).collect()
}

/// Makes every leaf of a sealed file again, and compares with its index.
fn prove(
    directory: &Path,
    key: &VerifierKey,
    first: u64,
    partial: &[u64],
    indexes: Indexes,
) -> Result<Proven, Damage> {
    let name = file_name(first);
    let sealed = |index, offset, why| at(&name, offset, index, DamageKind::SealedFile(why));
    let file = SealedFile::open(&directory.join(&name), first);
    let file = file.map_err(|why| sealed(first, 0, why))?;
    let mut builder = Builder::default();
    let mut contents = BTreeMap::new();
    let read = read_leaves(&file, (&mut builder, indexes), partial, &mut contents);
    let offset_of = |index: u64| file.offset_of(u32::try_from(index - first).unwrap_or(u32::MAX));
    let leaves = read.map_err(|BadPack { index, why }| sealed(index, offset_of(index), why))?;
    let (first_time_ms, last_time_ms) = builder.times().unwrap_or((i64::MAX, i64::MIN));
    let checksum = file.checksum().map_err(|error| unreadable(&name, &error))?;
    let mut proven = Proven {
        roots: builder.roots().to_vec(),
        leaves,
        first_time_ms,
        last_time_ms,
        bytes: file.bytes(),
        note: None,
        contents,
    };
    let index_name = index_name(first);
    let bad_index = |error: IndexError| {
        let why = format!("{error}; the next start makes it again");
        at(&index_name, 0, first, DamageKind::SealedFile(why))
    };
    let (index, roots) = match Index::open(&directory.join(&index_name), first) {
        Ok(opened) => opened,
        Err(IndexError::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(proven);
        }
        Err(error) => return Err(bad_index(error)),
    };
    index.check().map_err(bad_index)?;
    if let Some(tile) = roots.iter().zip(&proven.roots).position(|(a, b)| a != b) {
        let index = first + tile as u64 * TILE;
        return Err(at(
            &name,
            offset_of(index),
            index,
            DamageKind::SealedEntries,
        ));
    }
    if index.count != file.count() || index.file_checksum != checksum {
        let why = "it has other bytes than were sealed, though its entries are there";
        return Err(sealed(first, 0, why.to_owned()));
    }
    if !index.note.is_empty() {
        let note = Checkpoint::open(&index.note, key);
        proven.note = Some(note.map_err(|error| at(&index_name, 0, first, error.into()))?);
    }
    if indexes == Indexes::MadeAgain {
        compare_index(&file, builder, checksum, &index)?;
    }
    proven.bytes += index.index_bytes;
    Ok(proven)
}

/// Whether an index is what its entries give. Whoever changes what it finds can renew its checksums too, but
/// not make it again.
fn compare_index(
    file: &SealedFile,
    builder: Builder,
    checksum: u32,
    index: &Index,
) -> Result<(), Damage> {
    let (first, name) = (file.first, index_name(file.first));
    let built = builder.finish(file, checksum, &index.note);
    let is_same = index.is(&built.bytes);
    if !is_same.map_err(|error| unreadable(&name, &error))? {
        let row = hidden_row(file, index)
            .map_err(|error| at(&name, 0, first, DamageKind::SealedFile(error.to_string())))?;
        let entry = first + u64::from(row.unwrap_or_default());
        let why = match row {
            Some(_) => "it does not find this entry as it should, or finds it in vain",
            None => "it is not the index of its entries",
        };
        let why = format!("{why}; remove it, and the next start makes it again");
        return Err(at(&name, 0, entry, DamageKind::SealedFile(why)));
    }
    Ok(())
}

/// Hands all rows to the builder; returns the leaves of the tiles that are `partial`, and notes which
/// contents are named, and where first.
fn read_leaves(
    file: &SealedFile,
    (builder, indexes): (&mut Builder, Indexes),
    partial: &[u64],
    contents: &mut BTreeMap<Hash, u64>,
) -> Result<Vec<LeafTile>, BadPack> {
    let (mut tile, mut leaves) = (Vec::new(), Vec::new());
    read_all(file, &|| false, &mut |number, row| {
        let leaf = match indexes {
            Indexes::MadeAgain => builder.add(number, row)?,
            Indexes::AsTheyAre => builder.add_leaf(number, row)?,
        };
        for digest in contents::named(&row.details) {
            contents.entry(digest).or_insert(row.index);
        }
        let index = row.index / TILE;
        if partial.contains(&index) {
            tile.push(leaf);
            if tile.len() == TILE_ROWS as usize {
                let hashes = std::mem::take(&mut tile);
                leaves.push(LeafTile { index, hashes });
            }
        }
        Ok(())
    })?;
    Ok(leaves)
}

/// The first row of a file, all of which is proven, that its index does not find as it should.
fn hidden_row(file: &SealedFile, index: &Index) -> Result<Option<u32>, IndexError> {
    let mut builder = Builder::default();
    let read = read_all(file, &|| false, &mut |number, row| {
        builder.add(number, row).map(drop)
    });
    match read {
        Ok(_) => builder.differs_from(index),
        // It was read a moment ago.
        Err(BadPack { why, .. }) => Err(IndexError::Unreadable(io::Error::other(why))),
    }
}

/// The tree over all sealed files, and what the segments go on from.
struct Base {
    frontier: Frontier,
    last_time_ms: Option<i64>,
    /// Root of each sealed tile.
    roots: Vec<Digest>,
    /// Leaves of tiles that something ends within.
    leaves: Vec<LeafTile>,
    /// First entry of each file.
    firsts: Vec<u64>,
}

/// Puts the sealed files together: without a gap, times in order, and as far as the segments.
fn stand_on(packs: &[Proven], firsts: &[u64], start: u64) -> Result<Base, Damage> {
    let mut base = Base {
        frontier: Frontier::new(),
        last_time_ms: None,
        roots: Vec::new(),
        leaves: Vec::new(),
        firsts: firsts.to_vec(),
    };
    let mut last_time_ms = i64::MIN;
    for (first, pack) in firsts.iter().zip(packs) {
        let expected = base.roots.len() as u64 * TILE;
        let name = file_name(*first);
        if *first != expected {
            return Err(missing(expected, *first));
        }
        if pack.first_time_ms < last_time_ms {
            return Err(at(&name, 0, *first, DamageKind::Time));
        }
        last_time_ms = pack.last_time_ms;
        // A file that the segments begin within is later than they in part.
        if base.roots.len() as u64 * TILE + pack.roots.len() as u64 * TILE <= start {
            base.last_time_ms = Some(last_time_ms);
        }
        base.roots.extend(&pack.roots);
        base.leaves.extend(pack.leaves.iter().cloned());
    }
    let sealed = base.roots.len() as u64 * TILE;
    if sealed < start {
        return Err(missing(sealed, start));
    }
    base.frontier = base.tree(start).ok_or_else(|| missing(sealed, start))?;
    Ok(base)
}

/// Proves the segments on top of the sealed files, and that both agree where both hold an entry. Gives
/// the contents that entries name as well, with the first that names each.
fn prove_segments(
    directory: &Path,
    key: &VerifierKey,
    segments: &[&String],
    base: Base,
    known: Vec<Checkpoint>,
) -> Result<(LogSummary, BTreeMap<Hash, u64>), Damage> {
    let start = base.frontier.size();
    let sealed = base.roots.len() as u64 * TILE;
    // The tree that the segments give, as far as something is sealed.
    let mut tree = TileTree::new();
    let whole = usize::try_from(start / TILE).unwrap_or(usize::MAX);
    base.roots
        .iter()
        .take(whole)
        .for_each(|root| _ = tree.push_tile(*root));
    let (before, after): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|known| known.size <= start);
    for known in before {
        let root = base.tree(known.size).map(|tree| tree.root());
        if root != Some(known.root) {
            let kind = DamageKind::Fork { size: known.size };
            return Err(at(
                &file_name(base.pack_of(known.size)),
                0,
                known.size,
                kind,
            ));
        }
    }
    let rest = base.rest(start).unwrap_or_default();
    rest.iter().for_each(|leaf| tree.push(*leaf));
    let mut scanner =
        Scanner::new(key, Signatures::Every, after).after(base.frontier.clone(), base.last_time_ms);
    let mut contents = BTreeMap::new();
    let mut visit = |batch: &WholeBatch<'_>| {
        let rows = batch.entries.iter();
        // What does not read names nothing; that its details fit its entry was proven.
        for row in rows.filter_map(|placed| Row::of_frame(&placed.frame).ok()) {
            let named = contents::named(&row.details);
            named.for_each(|digest| _ = contents.entry(digest).or_insert(row.index));
        }
        let shared = batch
            .entries
            .iter()
            .take_while(|placed| placed.frame.index < sealed);
        shared.for_each(|placed| tree.push(placed.leaf));
    };
    for name in segments {
        let file = File::open(directory.join(name)).map_err(|error| unreadable(name, &error))?;
        scanner.segments([((*name).clone(), file)], &mut visit)?;
    }
    let summary = scanner.finish()?;
    if summary.size < sealed {
        let kind = DamageKind::Shorter {
            expected: sealed,
            found: summary.size,
        };
        let file = segments
            .last()
            .map_or_else(|| file_name(0), |name| (*name).clone());
        return Err(at(&file, 0, summary.size, kind));
    }
    let mut tiles = (0..).zip(&base.roots).skip(whole);
    if let Some((tile, _)) = tiles.find(|(tile, root)| tree.tile_root(*tile) != Some(**root)) {
        let index = tile * TILE;
        return Err(at(
            &file_name(base.pack_of(index)),
            0,
            index,
            DamageKind::SealedEntries,
        ));
    }
    Ok((summary, contents))
}

impl Base {
    /// The tree over the first `size` entries, all of them sealed.
    fn tree(&self, size: u64) -> Option<Frontier> {
        let mut tree = Frontier::new();
        let whole = usize::try_from(size / TILE).ok()?;
        for root in self.roots.get(..whole)? {
            tree.push_subtree(TILE_ROWS.ilog2(), *root);
        }
        self.rest(size)?.iter().for_each(|leaf| tree.push(*leaf));
        Some(tree)
    }

    /// The leaves behind the last whole tile of the first `size` entries.
    fn rest(&self, size: u64) -> Option<&[Digest]> {
        match usize::try_from(size % TILE).ok()? {
            0 => Some(&[]),
            rest => {
                let tile = self.leaves.iter().find(|tile| tile.index == size / TILE)?;
                tile.hashes.get(..rest)
            }
        }
    }

    /// The first entry of the file with entry `index`.
    fn pack_of(&self, index: u64) -> u64 {
        let position = self.firsts.partition_point(|first| *first <= index);
        let first = position
            .checked_sub(1)
            .and_then(|position| self.firsts.get(position));
        first.copied().unwrap_or_default()
    }
}
