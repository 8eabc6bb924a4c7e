//! The rows that a ring is filled with, a few vectors at a time.

use crate::coefficients::Coefficients;
use crate::conv::MOST_CHANNELS;
use crate::element::Element;
use crate::fours::TOGETHER;
use crate::items::Item;
use crate::lanes::Lanes;
use crate::math::Activation;
use crate::run::Program;
use core::cell::Cell;
use core::marker::PhantomData;
use core::slice;

pub trait Source<L> {
    type Row: Row<L>;
    /// A channel of line y of a plane; what is `ahead` elements further in a tensor will be read soon.
    /// # Safety
    /// There is such a line; as `Lanes::enter`.
    unsafe fn row(&self, link: usize, y: usize, c: usize, ahead: usize) -> Self::Row;
}

pub trait Row<L>: Copy {
    /// The values from a place on.
    /// # Safety
    /// The row holds them; as `Lanes::enter`.
    unsafe fn at(&self, place: usize) -> L;
    /// Two registers' worth.
    /// # Safety
    /// As `at`, for both.
    #[inline(always)]
    unsafe fn two(&self, place: usize) -> [L; 2]
    where
        L: Lanes,
    {
        [self.at(place), self.at(place + L::N)]
    }
}

/// The image.
pub struct Image<'a, L, E, A> {
    program: &'a Program<'a, L, E, A>,
    item: &'a Item,
    /// Hold a row each.
    rows: *mut f32,
    count: usize,
    /// The rows that they hold.
    held: [Cell<Option<(usize, usize)>>; TOGETHER],
}

impl<'a, L, E, A> Image<'a, L, E, A> {
    /// `rows`: room for rows of `count` planes that are read at once, at most `TOGETHER`.
    pub fn new(program: &'a Program<'a, L, E, A>, item: &'a Item, rows: *mut f32, count: usize) -> Self {
        Self { program, item, rows, count, held: [const { Cell::new(None) }; TOGETHER] }
    }
}

#[derive(Clone, Copy)]
pub struct Floats(*const f32);

impl<L: Lanes, E: Element, A: Activation> Source<L> for Image<'_, L, E, A> {
    type Row = Floats;
    #[inline(always)]
    unsafe fn row(&self, link: usize, y: usize, c: usize, _: usize) -> Floats {
        let which = link % self.count;
        let row = self.rows.add(which * self.program.plan.pitch);
        if self.held[which].replace(Some((link, y))) != Some((link, y)) {
            self.program.read_input(0, self.item, link, y, c, row);
        }
        Floats(row)
    }
}

impl<L: Lanes> Row<L> for Floats {
    #[inline(always)]
    unsafe fn at(&self, place: usize) -> L {
        L::load(self.0.add(place))
    }
}

/// Where a tensor's rows lie, of one volume's planes of a chain.
pub struct Planes<E> {
    first: *const E,
    /// Elements from a plane of the chain to the next, from a line to the next, and from a channel to the next.
    plane: usize,
    line: usize,
    channel: usize,
}

impl<E> Planes<E> {
    /// # Safety
    /// As `Program::row`.
    pub unsafe fn new<L: Lanes, A: Activation>(program: &Program<L, E, A>, slot: usize, item: &Item, dilation: usize) -> Self
    where
        E: Element,
    {
        let (plan, first) = (program.plan, program.row(slot, item.volume, item.residue, 0));
        let line = plan.channels() * plan.pitch;
        Self { first, plane: dilation * plan.height() * line, line, channel: plan.pitch }
    }

    #[inline(always)]
    unsafe fn row(&self, link: usize, y: usize, c: usize) -> *const E {
        self.first.add(link * self.plane + y * self.line + c * self.channel)
    }
}

/// The activated output of the block before `block`.
pub struct Activated<E, A> {
    z: Planes<E>,
    /// Of each channel.
    terms: [[f32; 4]; MOST_CHANNELS],
    kind: PhantomData<A>,
}

#[derive(Clone, Copy)]
pub struct ActivatedRow<L, E, A> {
    from: *const E,
    ahead: usize,
    terms: [L; 4],
    kind: PhantomData<A>,
}

impl<E: Element, A: Activation> Activated<E, A> {
    /// # Safety
    /// As `Program::row`.
    pub unsafe fn new<L: Lanes>(program: &Program<L, E, A>, item: &Item, block: usize) -> Self {
        let plan = program.plan;
        let z = Planes::new(program, plan.slot(block - 1), item, plan.dilation(block));
        let mut terms = [[0.0; 4]; MOST_CHANNELS];
        for (c, terms) in terms[..plan.channels()].iter_mut().enumerate() {
            let &Coefficients { scale, shift, factor, .. } = program.coefficients(block - 1, item.volume, c);
            *terms = A::terms(scale, shift, factor);
        }
        Self { z, terms, kind: PhantomData }
    }
}

impl<L: Lanes, E: Element, A: Activation> Source<L> for Activated<E, A> {
    type Row = ActivatedRow<L, E, A>;
    #[inline(always)]
    unsafe fn row(&self, link: usize, y: usize, c: usize, ahead: usize) -> Self::Row {
        let terms = self.terms.get_unchecked(c).map(L::splat);
        ActivatedRow { from: self.z.row(link, y, c), ahead, terms, kind: PhantomData }
    }
}

impl<L: Lanes, E: Element, A: Activation> Row<L> for ActivatedRow<L, E, A> {
    #[inline(always)]
    unsafe fn at(&self, place: usize) -> L {
        L::prefetch(self.from.wrapping_add(place + self.ahead));
        A::coarse_value(E::load::<L>(self.from.add(place)), self.terms)
    }
    #[inline(always)]
    unsafe fn two(&self, place: usize) -> [L; 2] {
        L::prefetch(self.from.wrapping_add(place + self.ahead));
        let [one, next] = E::load_two::<L>(self.from.add(place));
        [A::coarse_value(one, self.terms), A::coarse_value(next, self.terms)]
    }
}

/// The gradient by the output of a block's convolution.
pub struct Gradient<'a, E, const SETTLED: bool> {
    z: Planes<E>,
    slope: Planes<E>,
    coefficients: &'a [Coefficients],
}

#[derive(Clone, Copy)]
pub struct GradientRow<L, E, const SETTLED: bool> {
    z: *const E,
    slope: *const E,
    ahead: usize,
    by_slope: L,
    by_z: L,
    constant: L,
}

impl<'a, E: Element, const SETTLED: bool> Gradient<'a, E, SETTLED> {
    /// `SETTLED`: what `Plan::settles` says.
    /// # Safety
    /// As `Program::row`.
    pub unsafe fn new<L: Lanes, A: Activation>(program: &'a Program<L, E, A>, item: &Item, block: usize) -> Self {
        let (plan, dilation) = (program.plan, program.plan.dilation(block));
        let z = Planes::new(program, plan.slot(block), item, dilation);
        let slope = Planes::new(program, plan.gradient_slot(block), item, dilation);
        let first = program.coefficients_at(block, item.volume, 0);
        Self { z, slope, coefficients: slice::from_raw_parts(first, plan.channels()) }
    }
}

impl<L: Lanes, E: Element, const SETTLED: bool> Source<L> for Gradient<'_, E, SETTLED> {
    type Row = GradientRow<L, E, SETTLED>;
    #[inline(always)]
    unsafe fn row(&self, link: usize, y: usize, c: usize, ahead: usize) -> Self::Row {
        let &Coefficients { by_slope, by_z, constant, .. } = self.coefficients.get_unchecked(c);
        let [by_slope, by_z, constant] = [L::splat(by_slope), L::splat(by_z), L::splat(constant)];
        let (z, slope) = (self.z.row(link, y, c), self.slope.row(link, y, c));
        GradientRow { z, slope, ahead, by_slope, by_z, constant }
    }
}

impl<L: Lanes, E: Element, const SETTLED: bool> Row<L> for GradientRow<L, E, SETTLED> {
    #[inline(always)]
    unsafe fn at(&self, place: usize) -> L {
        L::prefetch(self.z.wrapping_add(place + self.ahead));
        let z = E::load::<L>(self.z.add(place));
        if SETTLED {
            return z;
        }
        L::prefetch(self.slope.wrapping_add(place + self.ahead));
        E::load::<L>(self.slope.add(place)).fma(self.by_slope, z.fma(self.by_z, self.constant))
    }
    #[inline(always)]
    unsafe fn two(&self, place: usize) -> [L; 2] {
        L::prefetch(self.z.wrapping_add(place + self.ahead));
        let z = E::load_two::<L>(self.z.add(place));
        if SETTLED {
            return z;
        }
        L::prefetch(self.slope.wrapping_add(place + self.ahead));
        let [one, next] = E::load_two::<L>(self.slope.add(place));
        [one.fma(self.by_slope, z[0].fma(self.by_z, self.constant)), next.fma(self.by_slope, z[1].fma(self.by_z, self.constant))]
    }
}
