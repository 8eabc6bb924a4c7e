//! What is asked for, and where everything lies in one stretch of memory.

use crate::bf16::ring::ring_floats;
use crate::bf16::tiles::block::Block;
use crate::bf16::tiles::layout::{Direction, Layout, DEEP};
use crate::bf16::tiles::passes::pieces;
use crate::element::{Element, Products};
use crate::fours::{in_fours, MIXED, TOGETHER};
use crate::items::{items_per_volume, Cut};
use crate::lanes::Lanes;
use crate::pieces::Pieces;
use crate::request::{Request, BATCH_NORM, EVALUATE, FORWARD, TRAIN};
use crate::runs::Runs;

/// The regions of the memory, in bytes from its start; their order is part of the host's interface.
#[repr(usize)]
#[derive(Clone, Copy)]
pub enum Region {
    /// In: the model's parameters, floats in their layout.
    Parameters,
    /// In: running means and variances, floats in their layout.
    Statistics,
    /// In: training: a factor for every (volume, block, channel), floats.
    Dropout,
    /// In: class weights, then the label smoothing: doubles.
    Loss,
    /// In: (N, D, H, W) floats or bytes.
    Images,
    /// In: the truth, (N, D, H, W) bytes.
    Truth,
    /// Out: (N, D, H, W) bytes; forward only.
    Labels,
    /// Out: (N, classes, D, H, W) floats, when asked for.
    Logits,
    /// Out: floats in the layout of the parameters.
    Gradients,
    /// Out: means and biased variances, floats in the layout of the statistics.
    BatchStatistics,
    /// Out: the loss, then counts by (truth, prediction): doubles.
    Score,
    Packed,
    Coefficients,
    Partials,
    Threads,
    Tensors,
    End,
}
const REGIONS: usize = Region::End as usize + 1;
/// Those before it are the host's.
const HOST_REGIONS: usize = Region::Packed as usize;

/// Offsets inside a thread's own memory.
#[derive(Clone, Copy)]
pub struct ThreadMemory {
    pub ring: u64,
    pub rows: u64,
    /// Four rows of a tensor, before they are stored in it.
    pub floats: u64,
    /// What `crate::bf16::tiles::layout` lays out.
    pub tiles: u64,
    pub sums: u64,
    pub counts: u64,
    pub size: u64,
}

#[derive(Clone, Copy)]
pub struct Plan {
    pub request: Request,
    pub at: [u64; REGIONS],
    pub thread: ThreadMemory,
    /// Floats of a row of one channel in tensors.
    pub pitch: usize,
    /// Doubles of an item's partial sums.
    pub partial: usize,
    /// Bytes of an element of a tensor.
    pub element: usize,
    pub tensors: usize,
    pub products: Products,
    /// Words of a block's weights in one direction, by tiles.
    pub tile_words: usize,
}

/// Smaller tensors are stored through the caches.
const STREAMED_BYTES: u64 = 16 << 20;

/// Floats of a row of one channel in a ring, for a dilation: zeros on both sides, an odd number of cache lines so that rows do
/// not compete for the same cache sets.
pub fn ring_pitch(pitch: usize, dilation: usize) -> usize {
    (((pitch + 2 * ring_padding(dilation)).div_ceil(16)) | 1) * 16
}

/// Lines of a mixed plane in a ring: a line of the output and its two neighbours.
pub const MIXED_LINES: usize = 3;

/// Lines of a plane that the passes by dot products go through together: what is kept of two planes for the next four stays in the second-level
/// cache.
const LINES_A_RUN: usize = 48;

/// Where a convolution's rows lie in `ThreadMemory::rows`, in floats.
#[derive(Clone, Copy)]
pub struct Rows {
    /// (C, pitch): an output row that is not there.
    pub spare: usize,
    /// (4, C, pitch): the rows that the gradient by the weights is made with.
    pub plain: usize,
    /// (6, C, pitch): those, mixed and woven.
    pub woven: usize,
    pub end: usize,
}

impl Rows {
    pub fn new(channels: usize, pitch: usize) -> Self {
        let (lines, row) = (TOGETHER * pitch, channels * pitch);
        let (spare, plain, woven) = (lines, lines + row, lines + (1 + TOGETHER) * row);
        Self { spare, plain, woven, end: woven + MIXED * row }
    }
}

/// Whole cache lines, so that a row's voxels are filled in without crossing any.
pub fn ring_padding(dilation: usize) -> usize {
    dilation.next_multiple_of(16)
}

impl Plan {
    pub const EMPTY: Self = Self {
        request: Request::EMPTY,
        at: [0; REGIONS],
        thread: ThreadMemory { ring: 0, rows: 0, floats: 0, tiles: 0, sums: 0, counts: 0, size: 0 },
        pitch: 0,
        partial: 0,
        element: 4,
        tensors: 0,
        products: Products::Floats,
        tile_words: 0,
    };

    pub fn new<L: Lanes, E: Element>(request: &Request, start: u64) -> Self {
        let mut plan = Self { request: *request, ..Self::EMPTY };
        plan.products = E::PRODUCTS;
        let tiled = plan.products == Products::Tiles;
        plan.pitch = plan.width().next_multiple_of(if tiled { DEEP } else { 2 * L::N });
        let p = &plan;
        let (channels, classes, blocks) = (p.channels() as u64, p.classes() as u64, p.blocks() as u64);
        let (volumes, threads) = (u64::from(request.volumes), u64::from(request.threads));
        let scored = request.mode != FORWARD;
        let train = request.mode == TRAIN;
        let pitch = p.pitch;
        let wide = (0..p.blocks()).map(|block| p.dilation(block)).max().unwrap_or(1);
        let items = (0..p.blocks()).map(|block| p.items(block)).max().unwrap_or(1);
        let items = items.max(p.volumes() * items_per_volume(p.depth(), 1)) as u64;

        let convolution = channels * (channels * 54 + 2);
        let head = classes * (channels + 1) + 1 + 2 * channels;
        let partial = match (request.mode, request.normalization) {
            (TRAIN, _) => convolution.max(head),
            (EVALUATE, _) => head,
            _ => 2 * channels,
        };
        let parameters = p.parameter_count() as u64;

        let ring = (0..p.blocks()).map(|block| p.ring_floats(block, pitch)).max().unwrap_or(0);
        // Of a convolution: the rows that become a line of mixed planes, a row that is not there, and what `Rows` lists.
        let own_rows = Rows::new(p.channels(), 1).end as u64;
        let (tiles, words) = if tiled { (Layout::most_bytes(p), p.most_tile_words()) } else { (0, 0) };
        let mut at = 0;
        let mut take = |bytes: u64| {
            let offset = at;
            at += bytes.next_multiple_of(64);
            offset
        };
        let ring = take(if tiled { 0 } else { 4 * (ring as u64 + 2 * wide as u64) });
        let rows = take(4 * pitch as u64 * (channels + 2 * classes + 4).max(own_rows));
        let floats = take(4 * TOGETHER as u64 * pitch as u64 * channels);
        let tiles = take(tiles as u64);
        let sums = take(if train && !tiled { 4 * L::N as u64 * 54 * channels * channels } else { 0 });
        let counts = take(if scored { 8 * (256 + classes * classes) } else { 0 });
        let size = take(0) + 192;
        plan.thread = ThreadMemory { ring, rows, floats, tiles, sums, counts, size };

        let outputs = (0..plan.blocks()).map(|block| plan.slot(block) + 1).max().unwrap_or(0);
        plan.partial = partial as usize;
        plan.tile_words = words;
        plan.element = size_of::<E>();
        plan.tensors = outputs + if train { plan.gradient_tensors() } else { 0 };
        let tensor = plan.tensor_bytes();

        let mut at = start.next_multiple_of(64);
        for (region, bytes) in plan.host_bytes().into_iter().enumerate() {
            plan.at[region] = at;
            at += bytes.next_multiple_of(64);
        }
        let mut take = |region: Region, bytes: u64| {
            plan.at[region as usize] = at;
            at += bytes.next_multiple_of(64);
        };
        take(Region::Packed, (16 * parameters).max(8 * blocks * words as u64));
        take(Region::Coefficients, 32 * volumes * blocks * channels);
        take(Region::Partials, 8 * partial * items);
        take(Region::Threads, threads * size);
        take(Region::Tensors, plan.tensors as u64 * tensor);
        take(Region::End, 0);
        plan
    }

    pub fn tensor_bytes(&self) -> u64 {
        let r = &self.request;
        let rows = u64::from(r.volumes) * u64::from(r.depth) * u64::from(r.height) * u64::from(r.channels);
        self.element as u64 * rows * self.pitch as u64
    }

    /// Whether a tensor is so large that what is written into it has left the caches before it is read.
    pub fn streams(&self) -> bool {
        self.tensor_bytes() >= STREAMED_BYTES
    }

    /// Floats from a row of a tensor to the next that a convolution reads.
    pub fn ahead(&self, block: usize) -> usize {
        self.dilation(block) * self.channels() * self.pitch
    }

    /// As `ahead`, from the last of so many lines of a run to the first one in the next four planes.
    pub fn ahead_of_run(&self, block: usize, lines: usize) -> usize {
        let (dilation, row) = (self.dilation(block), self.channels() * self.pitch);
        (TOGETHER * dilation * self.height()).saturating_sub((lines - 1) * dilation) * row
    }

    /// Bytes of the regions that the host fills in or reads out, in their order.
    pub fn host_bytes(&self) -> [u64; HOST_REGIONS] {
        let r = &self.request;
        let (volumes, classes) = (u64::from(r.volumes), u64::from(r.classes));
        let voxels = volumes * self.voxels() as u64;
        let scored = r.mode != FORWARD;
        let train = r.mode == TRAIN;
        let parameters = self.parameter_count() as u64;
        let statistics = if r.normalization == BATCH_NORM { u64::from(2 * r.channels * r.blocks) } else { 0 };
        let dropout = volumes * u64::from(r.blocks * r.channels);
        [
            4 * parameters,
            4 * statistics,
            if train { 4 * dropout } else { 0 },
            8 * (classes + 1),
            voxels * if r.float_images == 1 { 4 } else { 1 },
            if scored { voxels } else { 0 },
            if scored { 0 } else { voxels },
            if r.want_logits == 1 { 4 * voxels * classes } else { 0 },
            if train { 4 * parameters } else { 0 },
            4 * statistics,
            8 * (1 + classes * classes),
        ]
    }

    pub fn offset(&self, region: Region) -> u64 {
        self.at[region as usize]
    }
    pub fn channels(&self) -> usize {
        self.request.channels as usize
    }
    pub fn classes(&self) -> usize {
        self.request.classes as usize
    }
    pub fn blocks(&self) -> usize {
        self.request.blocks as usize
    }
    pub fn volumes(&self) -> usize {
        self.request.volumes as usize
    }
    pub fn depth(&self) -> usize {
        self.request.depth as usize
    }
    pub fn height(&self) -> usize {
        self.request.height as usize
    }
    pub fn width(&self) -> usize {
        self.request.width as usize
    }
    pub fn threads(&self) -> usize {
        self.request.threads as usize
    }
    pub fn dilation(&self, block: usize) -> usize {
        self.request.dilations[block] as usize
    }
    pub fn voxels(&self) -> usize {
        self.depth() * self.height() * self.width()
    }
    /// Whether a block's convolutions are done in fours of planes.
    pub fn in_fours(&self, block: usize) -> bool {
        self.products != Products::Tiles && in_fours(self.depth(), self.dilation(block))
    }
    /// Words of a block's weights by tiles.
    fn most_tile_words(&self) -> usize {
        let words = |block| Block::new(self.inputs(block), self.channels()).words();
        (0..self.blocks()).map(words).max().unwrap_or(0)
    }
    /// Items of the passes over a block.
    pub fn items(&self, block: usize) -> usize {
        match self.products {
            Products::Floats => self.volumes() * items_per_volume(self.depth(), self.dilation(block)),
            Products::Dots => self.volumes() * self.pieces(block).count(),
            Products::Tiles => pieces(self, block, Direction::Forward).max(pieces(self, block, Direction::Backward)),
        }
    }
    /// How the passes over a block by dot products are cut.
    pub fn pieces(&self, block: usize) -> Pieces {
        let (depth, height, dilation) = (self.depth(), self.height(), self.dilation(block));
        let links = (depth / 4).next_multiple_of(TOGETHER).clamp(8, 64);
        Pieces { chains: Cut { depth, dilation, links }, runs: Runs { height, dilation, block: 1, most: LINES_A_RUN } }
    }
    fn ring_floats(&self, block: usize, pitch: usize) -> usize {
        let (height, dilation) = (self.height(), self.dilation(block));
        if self.products == Products::Dots {
            return ring_floats(self.channels(), height.min(LINES_A_RUN + 2), pitch, dilation, self.in_fours(block));
        }
        let padded = ring_pitch(pitch, dilation);
        let rows = match self.weight_planes(block) {
            3 => 3 * height * padded,
            mixed => mixed * MIXED_LINES * padded + 2 * height * pitch,
        };
        rows * self.channels()
    }
    /// Planes of a block's packed weights.
    pub fn weight_planes(&self, block: usize) -> usize {
        if self.in_fours(block) {
            MIXED
        } else {
            3
        }
    }
    /// Channels that a block reads.
    pub fn inputs(&self, block: usize) -> usize {
        if block == 0 {
            1
        } else {
            self.channels()
        }
    }
    /// Where a block's parameters begin; for `blocks()`, the head's.
    pub fn parameters_of(&self, block: usize) -> usize {
        let c = self.channels();
        let extra = c * (self.bias() + 2 * usize::from(self.request.normalization == BATCH_NORM));
        (0..block).map(|b| 27 * c * self.inputs(b) + extra).sum()
    }
    /// Biases that a convolution has for each channel: 0 or 1.
    pub fn bias(&self) -> usize {
        self.request.convolution_bias as usize
    }
    pub fn parameter_count(&self) -> usize {
        self.parameters_of(self.blocks()) + self.classes() * (self.channels() + 1)
    }
}
