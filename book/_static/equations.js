// Equations 1 to 9 of the AVSS paper in the browser, under the names of avss/equations.py and avss/selection.py. A test
// runs this file under node and compares it with them to 1e-9.
//
// Statistics of blocks come as avss/report/layer_statistics.py packs them: arrays with one entry a block. Functions
// throw an Error with a sentence for readers where the Python raises InputError.
const avss = (() => {
  // As in avss/moments.py: a bin of abs(a) is the bit pattern of a float32, cut after three bits of mantissa.
  const HISTOGRAM_SHIFT = 20;
  const MASS_TOLERANCE = 1e-12;

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  function share(values, plural) {
    const total = sum(values);
    if (!(total > 0) || !Number.isFinite(total)) {
      throw new Error(`${plural} over all blocks sum to ${total}; a share needs a positive, finite sum`);
    }
    return values.map((value) => value / total);
  }

  // Eq. 1 of every block, from the number of activations and their summed squared distances from the mean.
  const variance = (count, m2, ddof = 0) => m2.map((squares, block) => squares / (count[block] - ddof));
  // Eq. 2.
  const standard_deviation = (variances) => variances.map(Math.sqrt);
  // Eq. 3.
  const normalized_variance = (variances) => share(variances, "variances");
  // Eq. 4 of every block.
  const sparsity = (near_zero, count) => near_zero.map((zeros, block) => zeros / count[block]);
  // Eq. 5.
  const normalized_sparsity = (sparsities) => share(sparsities, "sparsities");
  // Eq. 6, literally.
  function sparsity_deviation(sparsities) {
    const shares = normalized_sparsity(sparsities);
    return sparsities.map((sparse, block) => Math.abs(sparse - shares[block]));
  }
  // Eq. 7. The name differs from that in Python, where it is also the name of the package.
  function avss_score(variances, sparsities) {
    const empty = sparsities.flatMap((sparse, block) => (sparse === 0 ? [block] : []));
    if (empty.length) throw new Error(`sparsity is 0 in blocks ${empty.join(", ")}; Eq. 7 divides by it`);
    return variances.map((spread, block) => spread / sparsities[block]);
  }
  // Eq. 8.
  const normalized_avss = (scores) => share(scores, "AVSS scores");
  // Eq. 9.
  function cumulative_avss(normalized) {
    let total = 0;
    return normalized.map((value) => (total += value));
  }

  // The lower edge of bin `bin` of abs(a); the lower edge of the next bin is its upper one.
  const edge = (bin) => new Float32Array(new Uint32Array([bin << HISTOGRAM_SHIFT]).buffer)[0];

  // How many activations of each block are below epsilon. Exact: for other thresholds than those that were counted and
  // the edges of bins it throws.
  function near_zero_count(kept, epsilon, epsilons, first_bin) {
    const place = epsilons.indexOf(epsilon);
    if (place >= 0) return kept.near_zero.map((counts) => counts[place]);
    const bins = kept.histogram[0].length;
    for (let last = 1; last <= bins; last += 1) {
      if (edge(first_bin + last) === epsilon) return kept.histogram.map((counts) => sum(counts.slice(0, last)));
    }
    throw new Error(`near-zero counts were not made for epsilon = ${epsilon}`);
  }

  // The q-quantile of abs(a) over all blocks together: the upper edge of the bin that it lies in.
  function magnitude_quantile(kept, quantile, first_bin) {
    const wanted = quantile * sum(kept.count);
    let below = 0;
    for (let bin = 0; bin < kept.histogram[0].length; bin += 1) {
      below += sum(kept.histogram.map((counts) => counts[bin]));
      if (below >= wanted) return edge(first_bin + bin + 1);
    }
    throw new Error(`the ${quantile}-quantile of abs(a) lies beyond the histogram`);
  }

  // Blocks from the highest value to the lowest; of two equal ones the deeper comes later.
  const descending = (values) => values.map((_, block) => block).sort((a, b) => values[b] - values[a] || a - b);

  // 1 for the most important block to M for the least.
  function rank(values) {
    const ranks = new Array(values.length);
    descending(values).forEach((block, place) => (ranks[block] = place + 1));
    return ranks;
  }

  // The k lowest-scoring blocks, lowest first.
  const lowest = (values, k) => descending(values).reverse().slice(0, k);

  // Whether the running share of the sum, in this order, is at or below the mass; never so for all blocks.
  function within(values, mass) {
    const largest = Math.max(...values);
    const limit = Math.min(mass + MASS_TOLERANCE, 1 - MASS_TOLERANCE);
    return cumulative_avss(share(values.map((value) => value / largest), "scores")).map((running) => running <= limit);
  }

  // The lowest blocks, ascending, while their summed share stays at or below the mass.
  function cumulative(values, mass) {
    const ascending = descending(values).reverse();
    const fits = within(ascending.map((block) => values[block]), mass);
    return ascending.filter((_, place) => fits[place]);
  }

  // The blocks whose cumulative share in depth order is at or below the mass, as the authors' script does.
  function released_code(values, mass) {
    const fits = within(values, mass);
    return values.map((_, block) => block).filter((block) => fits[block]);
  }

  // Kendall's tau-b of two lists of numbers; NaN where one of them has no order.
  function kendall_tau(first, second) {
    let agreeing = 0, ordered_first = 0, ordered_second = 0;
    for (let i = 0; i < first.length; i += 1) {
      for (let j = 0; j < i; j += 1) {
        const one = Math.sign(first[i] - first[j]), other = Math.sign(second[i] - second[j]);
        agreeing += one * other;
        ordered_first += one * one;
        ordered_second += other * other;
      }
    }
    return agreeing / Math.sqrt(ordered_first * ordered_second);
  }

  // Eqs. 1 to 9 of every block under a threshold, as avss.scores.from_moments gives them; one array a column. `empty`
  // are the blocks without an activation below epsilon, whose sparsity counts as 1/N.
  function from_moments(kept, epsilon, epsilons, first_bin) {
    const variances = variance(kept.count, kept.m2);
    const sparsities = sparsity(near_zero_count(kept, epsilon, epsilons, first_bin), kept.count);
    const used = sparsities.map((sparse, block) => sparse || 1 / kept.count[block]);
    const scores = avss_score(variances, used);
    const normalized = normalized_avss(scores);
    return {
      mean: kept.mean,
      variance: variances,
      std: standard_deviation(variances),
      normalized_variance: normalized_variance(variances),
      sparsity: sparsities,
      normalized_sparsity: normalized_sparsity(used),
      sparsity_deviation: sparsity_deviation(used),
      avss: scores,
      normalized_avss: normalized,
      cumulative_avss: cumulative_avss(normalized),
      rank: rank(normalized),
      empty: sparsities.flatMap((sparse, block) => (sparse === 0 ? [block] : [])),
    };
  }

  return {
    variance, standard_deviation, normalized_variance, sparsity, normalized_sparsity, sparsity_deviation,
    avss: avss_score, normalized_avss, cumulative_avss, edge, near_zero_count, magnitude_quantile, rank, lowest,
    cumulative, released_code, kendall_tau, from_moments,
  };
})();

// For the test under node; a browser has no modules here.
if (typeof module !== "undefined") module.exports = avss;
