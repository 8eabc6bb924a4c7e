//! MeshNet on a CPU: forward, loss, backward. One source for every instruction set: the arithmetic is generic over
//! [`lanes::Lanes`], and a file in `isa/` holds only what one of them does differently.
//!
//! Tensors of a block are (N, D, H, C, P) floats: the C channels of a row lie side by side, each P = the row's width rounded up
//! to whole vectors, zero beyond the width. What is kept of a block is its convolution's output without bias; bias and
//! normalisation are one affine step, and activation is computed again whenever a block's output is read.
//!
//! Work is cut into items whose size depends on the grid alone. Partial sums are kept an item each and added in item order, so
//! results have the same bits whatever the number of threads.
// Loops over channels and taps index several rows at once; the constants of math.rs are exact.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments, clippy::excessive_precision)]
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg_attr(target_arch = "wasm32", feature(stdarch_wasm_atomic_wait))]

mod activation;
mod backward;
pub mod bf16;
mod coefficients;
mod conv;
pub mod element;
mod factor;
mod fours;
mod head;
pub mod isa;
mod items;
mod keep;
pub mod lanes;
mod line;
mod math;
mod normalise;
mod pieces;
pub(crate) mod places;
pub mod plan;
pub mod request;
mod ring;
pub mod run;
mod runs;
mod score;
mod slots;
pub mod team;
mod walk;
mod weight_gradient;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(not(target_arch = "wasm32"))]
pub mod peak;
#[cfg(target_arch = "wasm32")]
mod wasm;
