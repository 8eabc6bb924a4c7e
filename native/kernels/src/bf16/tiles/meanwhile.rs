//! What is done while tiles are multiplied. The unit and the registers' units work at the same time where their instructions lie
//! close together, and the unit is slow for a while after it stood still: so work on registers is cut into small steps, and a few
//! are done after every few products.

/// Steps, spread evenly over the pauses that are to come.
#[derive(Clone, Copy, Default)]
pub struct Share {
    steps: usize,
    done: usize,
    pauses: usize,
    debt: usize,
}

impl Share {
    pub fn new(steps: usize, pauses: usize) -> Self {
        Self { steps, done: 0, pauses: pauses.max(1), debt: 0 }
    }

    /// Does the steps that a pause brings; `step` gets their numbers.
    #[inline(always)]
    pub fn pause(&mut self, mut step: impl FnMut(usize)) {
        self.debt += self.steps;
        while self.debt >= self.pauses && self.done < self.steps {
            self.debt -= self.pauses;
            step(self.done);
            self.done += 1;
        }
    }

    /// Does those that are left.
    #[inline(always)]
    pub fn finish(&mut self, mut step: impl FnMut(usize)) {
        for index in self.done..self.steps {
            step(index);
        }
        self.done = self.steps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_done_once_and_in_order_however_many_pauses_there_are() {
        for steps in [0, 1, 5, 160] {
            for pauses in [0, 1, 3, 160, 1000] {
                for taken in [0, pauses / 2, pauses, pauses + 3] {
                    let (mut share, mut seen) = (Share::new(steps, pauses), Vec::new());
                    (0..taken).for_each(|_| share.pause(|step| seen.push(step)));
                    assert!(taken < pauses || pauses == 0 || seen.len() == steps);
                    share.finish(|step| seen.push(step));
                    share.finish(|_| unreachable!());
                    assert_eq!(seen, (0..steps).collect::<Vec<_>>());
                }
            }
        }
    }
}
