//! Which instruction set to use, found at run time.

use crate::plan::Plan;
use crate::request::{Request, BF16, FP32};
use crate::run::run;
use crate::team::Team;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Isa {
    /// AVX-512 with the tiles of AMX; for bf16 alone.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    AmxBf16,
    /// AVX-512 with dot products of bf16; for bf16 alone.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
    /// The tiles of AMX in software: slow, what the code around them is tested with; for bf16 alone.
    TileTwin,
}

/// Evaluates an expression with `$lanes` as the lanes of an instruction set, and `$element` as what tensors of a precision hold.
macro_rules! with_kernels {
    ($isa:expr, $precision:expr, $lanes:ident, $element:ident => $body:expr) => {{
        macro_rules! of {
            ($kind:ty, $holds:ty) => {{
                type $lanes = $kind;
                type $element = $holds;
                $body
            }};
        }
        #[allow(unused_imports)]
        use crate::element::{Bf16, ByDots, ByFloats, ByTiles};
        match ($isa, $precision) {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            (Isa::AmxBf16, _) => of!(crate::isa::avx512::Avx512Bf16, Bf16<ByTiles<crate::bf16::tiles::amx::Amx>>),
            (Isa::TileTwin, _) => of!(crate::isa::portable::Portable, Bf16<ByTiles<crate::bf16::tiles::Twin>>),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Bf16, _) => of!(crate::isa::avx512::Avx512Bf16, Bf16<ByDots>),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, crate::request::BF16) => of!(crate::isa::avx512::Avx512, Bf16<ByFloats>),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, _) => of!(crate::isa::avx512::Avx512, f32),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, crate::request::BF16) => of!(crate::isa::avx2::Avx2, Bf16<ByFloats>),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => of!(crate::isa::avx2::Avx2, f32),
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon, crate::request::BF16) => of!(crate::isa::neon::Neon, Bf16<ByFloats>),
            #[cfg(target_arch = "aarch64")]
            (Isa::Neon, _) => of!(crate::isa::neon::Neon, f32),
            (Isa::Portable, crate::request::BF16) => of!(crate::isa::portable::Portable, Bf16<ByFloats>),
            (Isa::Portable, _) => of!(crate::isa::portable::Portable, f32),
        }
    }};
}
pub(crate) use with_kernels;

impl Isa {
    /// Those that this crate was built with, best first.
    pub const ALL: &'static [Self] = &[
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Self::AmxBf16,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512Bf16,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        Self::Portable,
        Self::TileTwin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            Self::Portable => "portable",
            Self::TileTwin => "tile-twin",
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::AmxBf16 => "amx-bf16",
        }
    }

    /// Whether this machine and its operating system have it.
    pub fn is_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                Self::Avx512.is_here() && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Portable | Self::TileTwin => true,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::AmxBf16 => Self::Avx512Bf16.is_here() && crate::bf16::tiles::amx::is_here(),
        }
    }

    pub fn here() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|isa| isa.is_here())
    }

    /// Whether its convolutions multiply bf16.
    pub fn multiplies_bf16(self) -> bool {
        match self {
            Self::TileTwin => true,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::AmxBf16 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => true,
            _ => false,
        }
    }

    /// Whether it computes in a precision.
    pub fn computes(self, precision: u32) -> bool {
        precision == BF16 || (precision == FP32 && !self.multiplies_bf16())
    }

    /// Those of this machine that compute in a precision, best first.
    pub fn of(precision: u32) -> impl Iterator<Item = Self> {
        by_speed(Self::here().filter(|isa| isa.computes(precision)).collect(), is_intel()).into_iter()
    }

    pub fn plan(self, request: &Request) -> Plan {
        with_kernels!(self, request.precision, L, E => Plan::new::<L, E>(request, 0))
    }

    /// # Safety
    /// As `run::run`; the plan is this instruction set's, which is here.
    pub unsafe fn run(self, plan: &Plan, base: usize, team: &Team, thread: usize) -> u32 {
        with_kernels!(self, plan.request.precision, L, E => run::<L, E>(plan, base, team, thread))
    }
}

/// Intel's CPUs do `vdpbf16ps` at half the rate of multiply-adds of floats (measured: 176 and 358 GFLOP/s), which are faster there.
#[cfg(target_arch = "x86_64")]
fn by_speed(mut all: Vec<Isa>, intel: bool) -> Vec<Isa> {
    let at = |wanted| all.iter().position(|&isa| isa == wanted);
    if let (true, Some(dots), Some(floats)) = (intel, at(Isa::Avx512Bf16), at(Isa::Avx512)) {
        all.swap(dots, floats);
    }
    all
}
#[cfg(not(target_arch = "x86_64"))]
fn by_speed(all: Vec<Isa>, _: bool) -> Vec<Isa> {
    all
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let vendor = core::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}
#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn dot_products_of_bf16_come_after_floats_on_intels_cpus_alone() {
        let all = vec![Isa::Avx512Bf16, Isa::Avx512, Isa::Portable];
        assert_eq!(by_speed(all.clone(), false), all);
        assert_eq!(by_speed(all.clone(), true), [Isa::Avx512, Isa::Avx512Bf16, Isa::Portable]);
        assert_eq!(by_speed(vec![Isa::Portable], true), [Isa::Portable]);
    }
}
