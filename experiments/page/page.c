/* A network for the page: weights and images come in where `weights` and `pixels` point, answers lie where the others
 * point. The weights that were exported with the network are not used, and so not linked. */
#include "branchynet_model.h"

#define MOST 100 /* images at a time */
#define EXPORTED(name) __attribute__((export_name(#name)))

static struct branchynet_workspace work;
_Alignas(64) static float weights_in[BRANCHYNET_N_WEIGHTS];
static uint8_t pixels_in[MOST * BRANCHYNET_N_INPUTS];
static float samples[MOST * BRANCHYNET_N_INPUTS], score_of[MOST], logits_of[MOST * BRANCHYNET_N_CLASSES];
static int32_t label_of[MOST], exit_of[MOST];

EXPORTED(weights) float *weights(void) { return weights_in; }
EXPORTED(pixels) uint8_t *pixels(void) { return pixels_in; }
EXPORTED(thresholds) float *thresholds(void) { return branchynet_thresholds; }
EXPORTED(labels) int32_t *labels(void) { return label_of; }
EXPORTED(exits) int32_t *exits(void) { return exit_of; }
EXPORTED(scores) float *scores(void) { return score_of; }
EXPORTED(logits) float *logits(void) { return logits_of; }

/* Makes samples of the first n images. */
EXPORTED(prepare) void prepare(int n)
{
    branchynet_prepare(&work);
    for (int i = 0; i < n; i++)
        branchynet_transform(pixels_in + i * BRANCHYNET_N_INPUTS, samples + i * BRANCHYNET_N_INPUTS);
}

/* Answers the first n samples. */
EXPORTED(classify) void classify(int n)
{
    branchynet_classify(&work, weights_in, samples, n, branchynet_thresholds, label_of, exit_of, score_of, logits_of);
}
