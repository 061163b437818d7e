/* ---- Label and score of an exit: the measures of confidence that need nothing but the logits -----------------------
 *
 * The lower the score, the surer. tau: temperature, which the logits are divided by (energy and calibrated entropy).
 */
INLINE int largest(const float *logits, int n)
{
    int best = 0;
    for (int c = 1; c < n; c++)
        if (logits[c] > logits[best]) best = c;
    return best;
}

/* -sum y log y of the softmax output y, nats. */
INLINE float entropy(const float *logits, int n, float tau)
{
    const float top = logits[largest(logits, n)] / tau;
    float total = 0, weighted = 0;
    for (int c = 0; c < n; c++) {
        const float shifted = logits[c] / tau - top, exponential = expf(shifted);
        total += exponential;
        weighted += exponential * shifted;
    }
    return logf(total) - weighted / total;
}

/* 1 - the largest probability, and 1 - (largest - second): as sums of the other probabilities. */
INLINE float max_probability(const float *logits, int n, float tau)
{
    const int best = largest(logits, n);
    float others = 0;
    for (int c = 0; c < n; c++)
        if (c != best) others += expf((logits[c] - logits[best]) / tau);
    return others / (1 + others);
}

INLINE float margin(const float *logits, int n, float tau)
{
    const int best = largest(logits, n);
    float others = 0, second = 0;
    for (int c = 0; c < n; c++)
        if (c != best) {
            const float exponential = expf((logits[c] - logits[best]) / tau);
            others += exponential;
            second = exponential > second ? exponential : second;
        }
    return (others + second) / (1 + others);
}

/* -tau log sum exp(z / tau). */
INLINE float energy(const float *logits, int n, float tau)
{
    const float top = logits[largest(logits, n)];
    float total = 0;
    for (int c = 0; c < n; c++) total += expf((logits[c] - top) / tau);
    return -(top + tau * logf(total));
}
