//! Every instruction set's lanes do what the portable ones do, lane by lane.

use meshfl_kernels::bf16::narrow;
use meshfl_kernels::isa::portable::Portable;
use meshfl_kernels::lanes::Lanes;

const VALUES: [f32; 16] =
    [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 3.25, -7.75, 100.0, 1e-3, 0.7, f32::INFINITY, f32::NAN, -126.0];

/// The results of an operation on every pair of values, as bits.
unsafe fn table<L: Lanes>(operation: impl Fn(L, L) -> L) -> Vec<u32> {
    let mut results = Vec::new();
    L::enter(
        #[inline(always)]
        || {
            for a in VALUES {
                for at in (0..VALUES.len()).step_by(L::N) {
                    let mut to = [0.0f32; 16];
                    operation(L::splat(a), L::load(VALUES.as_ptr().add(at))).store(to.as_mut_ptr());
                    results.extend(to[..L::N].iter().map(|value| if value.is_nan() { 1 } else { value.to_bits() }));
                }
            }
        },
    );
    results
}

/// Ties, subnormal numbers, infinities and what is not a number.
const BITS: [u32; 16] = [
    0x3f80_8000,
    0x3f80_8001,
    0x3f81_8000,
    0xbf81_7fff,
    0x7f7f_ffff,
    0xff80_0000,
    0x7f80_0001,
    0xffff_ffff,
    0x0000_0001,
    0x807f_ffff,
    0x0080_0000,
    0x0080_8000,
    0x8000_0000,
    0x4123_4567,
    0xc765_4321,
    0x0000_ffff,
];

unsafe fn through_bf16<L: Lanes>() -> [u32; 16] {
    let (from, mut to) = (BITS.map(f32::from_bits), [0.0f32; 16]);
    L::enter(
        #[inline(always)]
        || {
            let mut kept = [0u16; 16];
            for at in (0..16).step_by(L::N) {
                L::load(from.as_ptr().add(at)).store_bf16(kept.as_mut_ptr().add(at));
                L::load_bf16(kept.as_ptr().add(at)).store(to.as_mut_ptr().add(at));
            }
        },
    );
    to.map(f32::to_bits)
}

/// The values and then the values backwards, stored two registers at a time.
unsafe fn in_twos<L: Lanes>(streamed: bool) -> Vec<u16> {
    #[repr(align(64))]
    struct Row([u16; 32]);
    let from: [f32; 32] = std::array::from_fn(|i| f32::from_bits(BITS[if i < 16 { i } else { 31 - i }]));
    let mut to = Row([0; 32]);
    L::enter(
        #[inline(always)]
        || {
            for at in (0..32).step_by(2 * L::N) {
                let (one, next) = (L::load(from.as_ptr().add(at)), L::load(from.as_ptr().add(at + L::N)));
                one.put_two_bf16(next, to.0.as_mut_ptr().add(at), streamed);
            }
        },
    );
    L::end_streams();
    to.0.to_vec()
}

/// Dot products of pairs of every two of the values, as bits.
unsafe fn dots<L: Lanes>() -> Vec<u32> {
    let mut results = Vec::new();
    let from = BITS.map(f32::from_bits);
    L::enter(
        #[inline(always)]
        || {
            for shift in 0..16 {
                let mut shifted = from;
                shifted.rotate_left(shift);
                for at in (0..16).step_by(L::N) {
                    let (a, b) = (L::load(from.as_ptr().add(at)), L::load(shifted.as_ptr().add(at)));
                    for sum in [b, L::splat(0.7), L::splat(3e-39), L::splat(1e30)] {
                        let mut to = [0.0f32; 16];
                        a.pair_bf16(b).dot_bf16(b.pair_bf16(L::splat(-1.3)), sum).store(to.as_mut_ptr());
                        results.extend(to[..L::N].iter().map(|value| if value.is_nan() { 1 } else { value.to_bits() }));
                    }
                }
            }
        },
    );
    results.sort_unstable();
    results
}

/// Words that were slid, blended and transposed.
unsafe fn words<L: Lanes>() -> Vec<u32> {
    let (row, other): ([u32; 16], [u32; 16]) = (BITS, std::array::from_fn(|i| 0x9e37_79b9_u32.wrapping_mul(i as u32 + 1)));
    let mut results = Vec::new();
    L::enter(
        #[inline(always)]
        || {
            for by in -17..=17 {
                for swap in [false, true] {
                    let mut to = [7; 16];
                    L::slide(row.as_ptr(), to.as_mut_ptr(), by, swap);
                    results.extend(to);
                }
            }
            let mut to = [7; 16];
            L::blend_halves(row.as_ptr(), other.as_ptr(), to.as_mut_ptr());
            results.extend(to);
            let rows: [[u32; 16]; 16] = core::array::from_fn(|r| core::array::from_fn(|i| (100 * r + i) as u32));
            let mut to = [7; 16 * 17];
            L::transpose(rows.each_ref().map(|row| row.as_ptr()), to.as_mut_ptr(), 17);
            results.extend(to);
        },
    );
    results
}

/// x from its fraction and power, at some places of every binade.
unsafe fn powers<L: Lanes>() -> Vec<f32> {
    let mut results = Vec::new();
    L::enter(
        #[inline(always)]
        || {
            for i in -500..500 {
                let (fraction, power) = L::splat(i as f32 / 16.0).fraction_and_power();
                let (mut one, mut to) = ([0.0f32; 16], [0.0f32; 16]);
                fraction.store(one.as_mut_ptr());
                L::splat(1.0).times_power(power).store(to.as_mut_ptr());
                assert!((0.0..=1.0).contains(&one[0]));
                results.push(one[0] + to[0].log2());
            }
        },
    );
    results
}

unsafe fn agrees<L: Lanes>(name: &str) {
    assert_eq!(table::<L>(|a, b| a.add(b)), table::<Portable>(|a, b| a.add(b)), "{name} add");
    assert_eq!(table::<L>(|a, b| a.sub(b)), table::<Portable>(|a, b| a.sub(b)), "{name} sub");
    assert_eq!(table::<L>(|a, b| a.mul(b)), table::<Portable>(|a, b| a.mul(b)), "{name} mul");
    assert_eq!(table::<L>(|a, b| a.div(b)), table::<Portable>(|a, b| a.div(b)), "{name} div");
    assert_eq!(table::<L>(|a, b| a.max(b)), table::<Portable>(|a, b| a.max(b)), "{name} max");
    assert_eq!(table::<L>(|a, b| a.min(b)), table::<Portable>(|a, b| a.min(b)), "{name} min");
    assert_eq!(
        table::<L>(|a, b| a.greater(b).select(a, b)),
        table::<Portable>(|a, b| a.greater(b).select(a, b)),
        "{name} greater"
    );
    assert_eq!(table::<L>(|a, b| a.equal(b).select(a, b)), table::<Portable>(|a, b| a.equal(b).select(a, b)), "{name} equal");
    assert_eq!(through_bf16::<L>(), BITS.map(|bits| u32::from(narrow(f32::from_bits(bits))) << 16), "{name} bf16");
    let narrowed = BITS.map(|bits| narrow(f32::from_bits(bits)));
    let expected: Vec<u16> = narrowed.iter().chain(narrowed.iter().rev()).copied().collect();
    assert_eq!((in_twos::<L>(false), in_twos::<L>(true)), (expected.clone(), expected), "{name} bf16 in twos");
    assert_eq!(dots::<L>(), dots::<Portable>(), "{name} dot and pair");
    assert_eq!(words::<L>(), words::<Portable>(), "{name} words");
    assert_eq!(powers::<L>(), (-500..500).map(|i| i as f32 / 16.0).collect::<Vec<_>>(), "{name} fraction and power");
    let finite = |of: fn(f32) -> f32| VALUES.iter().copied().filter(|v| v.is_finite()).map(of).collect::<Vec<_>>();
    assert_eq!(finite(|v| L::splat(v).round().sum()), finite(|v| v.round_ties_even() * L::N as f32), "{name} round");
    for exponent in [-126.0f32, -3.0, 0.0, 7.0, 127.0] {
        let power = L::splat(exponent).exp2_integer().max(L::splat(0.0));
        let mut to = [0.0f32; 16];
        power.store(to.as_mut_ptr());
        assert_eq!(to[0], exponent.exp2(), "{name} exp2");
    }
    for value in [1e-30f32, 0.3, 0.5, 1.0, 3.0, 1e30] {
        let (m, e) = L::splat(value).split_exponent();
        let (mut ms, mut es) = ([0.0f32; 16], [0.0f32; 16]);
        m.store(ms.as_mut_ptr());
        e.store(es.as_mut_ptr());
        assert!((0.5..1.0).contains(&ms[0]), "{name} mantissa of {value}");
        assert_eq!(f64::from(ms[0]) * f64::from(es[0]).exp2(), f64::from(value), "{name} exponent of {value}");
    }
}

#[test]
fn lanes_of_every_instruction_set_agree() {
    unsafe {
        #[cfg(target_arch = "x86_64")]
        {
            agrees::<Portable>("portable");
            use meshfl_kernels::isa::chosen::Isa;
            if Isa::Avx2.is_here() {
                agrees::<meshfl_kernels::isa::avx2::Avx2>("avx2");
            }
            if Isa::Avx512.is_here() {
                agrees::<meshfl_kernels::isa::avx512::Avx512>("avx512");
            }
            if Isa::Avx512Bf16.is_here() {
                agrees::<meshfl_kernels::isa::avx512::Avx512Bf16>("avx512-bf16");
            }
        }
        #[cfg(target_arch = "aarch64")]
        agrees::<meshfl_kernels::isa::neon::Neon>("neon");
    }
}
