//! The multiply-adds that this machine can do: what the kernels' speed is measured against.

use crate::element::{Element, Products};
use crate::isa::chosen::{with_kernels, Isa};
use crate::lanes::Lanes;
use crate::request::FP32;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Chains of multiply-adds side by side: enough to hide their latency, few enough for sixteen registers.
const CHAINS: usize = 12;
const ROUNDS: usize = 100_000;

unsafe fn chains<L: Lanes, E: Element>() -> f32 {
    L::enter(
        #[inline(always)]
        || {
            let (factor, addend) = (L::splat(black_box(0.999)), L::splat(black_box(0.001)));
            let mut sums: [L; CHAINS] = core::array::from_fn(|i| L::splat(i as f32));
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = if E::PRODUCTS == Products::Dots { factor.dot_bf16(addend, *sum) } else { sum.fma(factor, addend) };
                }
            }
            sums.into_iter().reduce(|a, b| a.add(b)).map_or(0.0, |sum| sum.sum())
        },
    )
}

/// Floating-point operations a second of so many threads at once: the best of a quarter of a second.
pub fn flops(isa: Isa, threads: usize) -> f64 {
    let one = || {
        // A dot product is two multiply-adds.
        let (each, run) = with_kernels!(isa, FP32, L, E => {
            let each = if E::PRODUCTS == Products::Dots { 4 } else { 2 };
            (each * L::N, chains::<L, E> as unsafe fn() -> f32)
        });
        let began = Instant::now();
        let mut best = Duration::MAX;
        while began.elapsed() < Duration::from_millis(250) {
            let start = Instant::now();
            black_box(unsafe { run() });
            best = best.min(start.elapsed());
        }
        (each * CHAINS * ROUNDS) as f64 / best.as_secs_f64()
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap_or(0.0)).sum()
    })
}
