#[cfg(not(target_arch = "wasm32"))]
pub mod chosen;
pub mod portable;

#[cfg(target_arch = "wasm32")]
pub mod wasm;

#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;

#[cfg(target_arch = "aarch64")]
pub mod neon;

#[cfg(target_arch = "wasm32")]
pub type Best = wasm::Simd128;
#[cfg(not(target_arch = "wasm32"))]
pub type Best = portable::Portable;
