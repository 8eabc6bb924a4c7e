//! What the host asks for.

pub const MAX_BLOCKS: usize = 64;

pub const FORWARD: u32 = 0;
pub const EVALUATE: u32 = 1;
pub const TRAIN: u32 = 2;

pub const BATCH_NORM: u32 = 0;
pub const INSTANCE_NORM: u32 = 1;
pub const NO_NORM: u32 = 2;

pub const FP32: u32 = 0;
pub const BF16: u32 = 1;

pub const ELU: u32 = 0;
pub const RELU: u32 = 1;
pub const GELU: u32 = 2;

/// The host writes it, word by word, in this order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Request {
    pub mode: u32,
    pub channels: u32,
    pub classes: u32,
    pub blocks: u32,
    pub activation: u32,
    pub normalization: u32,
    pub convolution_bias: u32,
    pub volumes: u32,
    pub depth: u32,
    pub height: u32,
    pub width: u32,
    /// Images are floats (1) or bytes to be divided by 255 (0).
    pub float_images: u32,
    pub want_logits: u32,
    /// What tensors hold.
    pub precision: u32,
    pub threads: u32,
    /// Training: bit b of the one, bit b - 32 of the other: the output of block b is kept until the way back; that of the last block
    /// always is. The others are computed again, in the tensors of later blocks, which are free by then.
    pub kept_low: u32,
    pub kept_high: u32,
    pub dilations: [u32; MAX_BLOCKS],
}

impl Request {
    pub const EMPTY: Self = Self {
        mode: 0,
        channels: 1,
        classes: 2,
        blocks: 1,
        activation: 0,
        normalization: 0,
        convolution_bias: 0,
        volumes: 1,
        depth: 1,
        height: 1,
        width: 1,
        float_images: 0,
        want_logits: 0,
        precision: 0,
        threads: 1,
        kept_low: u32::MAX,
        kept_high: u32::MAX,
        dilations: [1; MAX_BLOCKS],
    };
}
