pub mod portable;

#[cfg(target_arch = "wasm32")]
pub mod wasm;

#[cfg(target_arch = "wasm32")]
pub type Best = wasm::Simd128;
#[cfg(not(target_arch = "wasm32"))]
pub type Best = portable::Portable;
