/* A single-thread C baseline of GloVe (Pennington, Socher and Manning 2014), for glove_vs_c.py to measure against.

It is not the authors' program but a plain statement of the published one's algorithm, with its choices:
the words counted into a hash table; co-occurrences of frequent pairs summed in a dense table, the others collected as
records in a buffer that is sorted and written when it is full, and all merged by a heap; the records shuffled in
memory-sized chunks; then, record after record read from the file, AdaGrad with a separate table of squared gradients,
log, pow, sqrt and division where they are needed. REAL is double unless it is defined otherwise.

    glove_baseline TEXT OUT FOLDER min_count window dim epochs x_max alpha memory_mb seed

writes w + w~ as text to OUT (not timed), and to stdout the CPU seconds of each stage as a line of JSON. FOLDER takes
its files. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef REAL
#define REAL double
#endif
typedef REAL real;

enum { MAX_WORD = 1000, HASH_SIZE = 1 << 20, MAX_RUNS = 4096 };

typedef struct { int first, second; real weight; } Pair;
typedef struct Entry { char *word; long count; int number; struct Entry *next; } Entry;

static char folder[4096];
static Entry *table[HASH_SIZE];
static Entry **vocabulary;
static int n_words;
static uint64_t state;

static void fail(const char *what) { perror(what); exit(1); }

static void *take(size_t bytes) {
    void *memory = calloc(bytes, 1);
    if (!memory) fail("memory");
    return memory;
}

static FILE *open_file(const char *name, int number, const char *mode) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s%d.bin", folder, name, number);
    FILE *file = fopen(path, mode);
    if (!file) fail(path);
    return file;
}

static uint64_t random_below(uint64_t n) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545F4914F6CDD1DULL >> 11) % n;
}

/* 1: a word; 0: the end of a line; -1: the end of the text. */
static int next_word(FILE *file, char *word) {
    int length = 0, sign;
    while ((sign = getc_unlocked(file)) != EOF) {
        if (sign == ' ' || sign == '\t' || sign == '\n' || sign == '\r') {
            if (length) {
                if (sign == '\n') ungetc(sign, file);
                break;
            }
            if (sign == '\n') return 0;
            continue;
        }
        if (length < MAX_WORD - 1) word[length++] = (char)sign;
    }
    word[length] = 0;
    return length ? 1 : -1;
}

static Entry **find(const char *word) {
    unsigned hash = 1159241;
    for (const char *sign = word; *sign; sign++) hash ^= (hash << 5) + (unsigned char)*sign + (hash >> 2);
    Entry **entry = &table[hash & (HASH_SIZE - 1)];
    while (*entry && strcmp((*entry)->word, word)) entry = &(*entry)->next;
    return entry;
}

static int by_count(const void *a, const void *b) {
    const Entry *x = *(Entry *const *)a, *y = *(Entry *const *)b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return strcmp(x->word, y->word);
}

static void count_words(const char *text, long min_count) {
    char word[MAX_WORD];
    FILE *file = fopen(text, "r");
    if (!file) fail(text);
    int kind, room = 1 << 16;
    vocabulary = take(room * sizeof *vocabulary);
    while ((kind = next_word(file, word)) >= 0) {
        if (!kind) continue;
        Entry **entry = find(word);
        if (!*entry) {
            *entry = take(sizeof **entry);
            (*entry)->word = strdup(word);
            if (n_words == room) vocabulary = realloc(vocabulary, (room *= 2) * sizeof *vocabulary);
            vocabulary[n_words++] = *entry;
        }
        (*entry)->count++;
    }
    fclose(file);
    qsort(vocabulary, n_words, sizeof *vocabulary, by_count);
    while (n_words && vocabulary[n_words - 1]->count < min_count) vocabulary[--n_words]->number = -1;
    for (int number = 0; number < n_words; number++) vocabulary[number]->number = number;
}

static int by_words(const void *a, const void *b) {
    const Pair *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->second < y->second ? -1 : x->second > y->second;
}

/* Sort, sum what stands twice, and write a run. */
static void write_run(Pair *pairs, long n, int run) {
    if (!n) return;
    qsort(pairs, n, sizeof *pairs, by_words);
    FILE *file = open_file("run", run, "wb");
    Pair sum = pairs[0];
    for (long k = 1; k < n; k++) {
        if (!by_words(&sum, &pairs[k])) {
            sum.weight += pairs[k].weight;
        } else {
            fwrite(&sum, sizeof sum, 1, file);
            sum = pairs[k];
        }
    }
    fwrite(&sum, sizeof sum, 1, file);
    fclose(file);
}

typedef struct { Pair pair; int run; } Head;

static void sink(Head *heap, int n, int at) {
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && by_words(&heap[child + 1].pair, &heap[child].pair) < 0) child++;
        if (by_words(&heap[at].pair, &heap[child].pair) <= 0) return;
        Head held = heap[at];
        heap[at] = heap[child];
        heap[child] = held;
    }
}

static long merge_runs(int n_runs) {
    FILE *runs[MAX_RUNS], *out = open_file("pairs", 0, "wb");
    Head heap[MAX_RUNS];
    int n = 0;
    long written = 0;
    for (int run = 0; run < n_runs; run++) {
        runs[run] = open_file("run", run, "rb");
        heap[n].run = run;
        n += fread(&heap[n].pair, sizeof(Pair), 1, runs[run]) == 1;
    }
    for (int at = n / 2 - 1; at >= 0; at--) sink(heap, n, at);
    Pair sum = heap[0].pair;
    sum.weight = 0;
    while (n) {
        if (by_words(&heap[0].pair, &sum)) {
            fwrite(&sum, sizeof sum, 1, out);
            written++;
            sum = heap[0].pair;
        } else {
            sum.weight += heap[0].pair.weight;
        }
        if (fread(&heap[0].pair, sizeof(Pair), 1, runs[heap[0].run]) != 1) heap[0] = heap[--n];
        sink(heap, n, 0);
    }
    fwrite(&sum, sizeof sum, 1, out);
    for (int run = 0; run < n_runs; run++) fclose(runs[run]);
    fclose(out);
    return written + 1;
}

/* Symmetric windows of 1 / distance within each line. */
static long count_pairs(const char *text, int window, double memory_mb) {
    double room = 0.85 * memory_mb * 1048576 / sizeof(Pair), product = 1e5;
    for (int turn = 0; turn < 100; turn++) product = room / (log(product) + 0.1544313298);
    long limit = (long)product, capacity = (long)(room / 6), n = 0;
    long *starts = take((n_words + 1L) * sizeof *starts); /* dense where (first + 1) * (second + 1) < limit */
    for (long word = 0; word < n_words; word++) {
        long wide = limit / (word + 1);
        starts[word + 1] = starts[word] + (wide < n_words ? wide : n_words);
    }
    real *dense = take((starts[n_words] + 1) * sizeof *dense);
    Pair *pairs = take((capacity + 2L * window + 2) * sizeof *pairs);
    int *history = take(window * sizeof *history), kind, n_runs = 1;
    long at = 0;
    char word[MAX_WORD];
    FILE *file = fopen(text, "r");
    while ((kind = next_word(file, word)) >= 0) {
        if (!kind) {
            at = 0;
            continue;
        }
        Entry *entry = *find(word);
        if (!entry || entry->number < 0) continue;
        if (n >= capacity) {
            write_run(pairs, n, n_runs++);
            n = 0;
        }
        long second = entry->number;
        for (long k = at - 1; k >= 0 && k >= at - window; k--) {
            long first = history[k % window];
            real weight = (real)1.0 / (real)(at - k);
            if ((first + 1) * (second + 1) < limit) {
                dense[starts[first] + second] += weight;
                dense[starts[second] + first] += weight;
            } else {
                pairs[n++] = (Pair){(int)first, (int)second, weight};
                pairs[n++] = (Pair){(int)second, (int)first, weight};
            }
        }
        history[at++ % window] = (int)second;
    }
    fclose(file);
    write_run(pairs, n, n_runs);
    n_runs += n > 0;
    FILE *run = open_file("run", 0, "wb");
    for (long first = 0; first < n_words; first++)
        for (long second = 0; second < starts[first + 1] - starts[first]; second++)
            if (dense[starts[first] + second] != 0) {
                Pair pair = {(int)first, (int)second, dense[starts[first] + second]};
                fwrite(&pair, sizeof pair, 1, run);
            }
    fclose(run);
    free(dense);
    free(pairs);
    free(starts);
    free(history);
    return merge_runs(n_runs);
}

static void mix(Pair *pairs, long n) {
    for (long k = n - 1; k > 0; k--) {
        long other = (long)random_below(k + 1);
        Pair held = pairs[k];
        pairs[k] = pairs[other];
        pairs[other] = held;
    }
}

/* Chunks are shuffled each, and then again together, a part of each at a time. */
static void shuffle(double memory_mb) {
    long room = (long)(0.95 * memory_mb * 1048576 / sizeof(Pair)), n;
    Pair *pairs = take(room * sizeof *pairs);
    FILE *in = open_file("pairs", 0, "rb"), *chunks[MAX_RUNS], *out;
    int n_chunks = 0;
    while ((n = (long)fread(pairs, sizeof *pairs, room, in)) > 0) {
        mix(pairs, n);
        out = open_file("chunk", n_chunks++, "wb");
        fwrite(pairs, sizeof *pairs, n, out);
        fclose(out);
    }
    fclose(in);
    for (int chunk = 0; chunk < n_chunks; chunk++) chunks[chunk] = open_file("chunk", chunk, "rb");
    out = open_file("shuffled", 0, "wb");
    do {
        n = 0;
        for (int chunk = 0; chunk < n_chunks; chunk++)
            n += (long)fread(pairs + n, sizeof *pairs, room / n_chunks, chunks[chunk]);
        mix(pairs, n);
        fwrite(pairs, sizeof *pairs, n, out);
    } while (n);
    for (int chunk = 0; chunk < n_chunks; chunk++) fclose(chunks[chunk]);
    fclose(out);
    free(pairs);
}

static real *weights; /* (2V, dim + 1), the bias at the end of each row */

static double train(int dim, int epochs, double x_max, double alpha) {
    long width = dim + 1, size = 2L * n_words * width;
    real *squares = take(size * sizeof *squares);
    weights = take(size * sizeof *weights);
    real *steps = take(2 * dim * sizeof *steps);
    double cost = 0;
    for (long k = 0; k < size; k++) {
        weights[k] = (real)((random_below(1 << 30) / (double)(1 << 30) - 0.5) / dim);
        squares[k] = 1;
    }
    FILE *file = open_file("shuffled", 0, "rb");
    for (int epoch = 0; epoch < epochs; epoch++) {
        Pair pair;
        long n = 0;
        rewind(file);
        cost = 0;
        while (fread(&pair, sizeof pair, 1, file) == 1) {
            real *w = weights + pair.first * width, *c = weights + (n_words + (long)pair.second) * width;
            real *wg = squares + (w - weights), *cg = squares + (c - weights), dot = 0;
            for (int d = 0; d < dim; d++) dot += w[d] * c[d];
            real error = dot + w[dim] + c[dim] - (real)log(pair.weight);
            real scaled = pair.weight > x_max ? error : (real)pow(pair.weight / x_max, 0.75) * error;
            cost += 0.5 * scaled * error;
            n++;
            scaled *= (real)alpha;
            for (int d = 0; d < dim; d++) {
                real a = scaled * c[d], b = scaled * w[d];
                steps[d] = a / (real)sqrt(wg[d]);
                steps[dim + d] = b / (real)sqrt(cg[d]);
                wg[d] += a * a;
                cg[d] += b * b;
            }
            for (int d = 0; d < dim; d++) {
                w[d] -= steps[d];
                c[d] -= steps[dim + d];
            }
            w[dim] -= scaled / (real)sqrt(wg[dim]);
            c[dim] -= scaled / (real)sqrt(cg[dim]);
            wg[dim] += scaled * scaled;
            cg[dim] += scaled * scaled;
        }
        cost /= n ? n : 1;
        fprintf(stderr, "epoch %d cost %.6f\n", epoch + 1, cost);
    }
    fclose(file);
    return cost;
}

static void write_vectors(int dim, const char *path) {
    long width = dim + 1;
    FILE *out = fopen(path, "w");
    if (!out) fail(path);
    fprintf(out, "%d %d\n", n_words, dim);
    for (long word = 0; word < n_words; word++) {
        fprintf(out, "%s", vocabulary[word]->word);
        for (int d = 0; d < dim; d++)
            fprintf(out, " %.7g", (double)(weights[word * width + d] + weights[(n_words + word) * width + d]));
        fputc('\n', out);
    }
    fclose(out);
}

int main(int n, char **arguments) {
    if (n != 12) {
        fprintf(stderr, "TEXT OUT FOLDER min_count window dim epochs x_max alpha memory_mb seed\n");
        return 2;
    }
    snprintf(folder, sizeof folder, "%s", arguments[3]);
    double memory_mb = atof(arguments[10]);
    state = 0x9E3779B97F4A7C15ULL * (strtoull(arguments[11], NULL, 10) + 1);
    clock_t times[5] = {clock()};
    count_words(arguments[1], atol(arguments[4]));
    times[1] = clock();
    long records = count_pairs(arguments[1], atoi(arguments[5]), memory_mb);
    times[2] = clock();
    shuffle(memory_mb);
    times[3] = clock();
    double cost = train(atoi(arguments[6]), atoi(arguments[7]), atof(arguments[8]), atof(arguments[9]));
    times[4] = clock();
    write_vectors(atoi(arguments[6]), arguments[2]);
    double s[4];
    for (int k = 0; k < 4; k++) s[k] = (double)(times[k + 1] - times[k]) / CLOCKS_PER_SEC;
    printf("{\"vocabulary_s\": %.3f, \"count_s\": %.3f, \"shuffle_s\": %.3f, \"train_s\": %.3f, "
           "\"words\": %d, \"pairs\": %ld, \"loss\": %.6f}\n", s[0], s[1], s[2], s[3], n_words, records, cost);
    return 0;
}
