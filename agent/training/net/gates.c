/* A GRU's gates for one time step, forward and back: one pass over memory. AVX-512 with its bf16 instructions.
 *
 * Rows first, all arrays dense. B rows, H units, gates in torch's order r, z, n:
 *     r = s(gx_r + gh_r)   z = s(gx_z + gh_z)   n = tanh(gx_n + r gh_n)   h' = n + z (h - n)
 * gx is what the products with the input gave (with its bias), gh those with h. Arithmetic is float32; what is bf16 is
 * so in memory only, rounded to nearest, ties to even.
 */
#include <immintrin.h>
#include <stdint.h>

typedef uint16_t bf16;
typedef __m512 vec;

#define LANES 16

static inline __mmask16 first(int64_t left) { return left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1u); }

static inline vec load16(__mmask16 m, const bf16 *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p)), 16));
}

static inline void store16(__mmask16 m, bf16 *p, vec v) {
    _mm256_mask_storeu_epi16(p, m, (__m256i)_mm512_cvtneps_pbh(v));
}

static inline vec load32(__mmask16 m, const float *p) { return _mm512_maskz_loadu_ps(m, p); }

static inline void store32(__mmask16 m, float *p, vec v) { _mm512_mask_storeu_ps(p, m, v); }

static inline vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec number(float value) { return _mm512_set1_ps(value); }

/* e^x for |x| <= 87: 2^n times a polynomial of degree 6 (Cephes, expf). */
static inline vec exponential(vec x) {
    x = _mm512_max_ps(_mm512_min_ps(x, number(87)), number(-87));
    vec n = _mm512_roundscale_ps(mul(x, number(1.44269504f)), 0);
    vec r = _mm512_fnmadd_ps(n, number(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, number(-2.12194440e-4f), r);
    vec p = number(1.9875691e-4f);
    p = _mm512_fmadd_ps(p, r, number(1.3981999e-3f));
    p = _mm512_fmadd_ps(p, r, number(8.3334519e-3f));
    p = _mm512_fmadd_ps(p, r, number(4.1665796e-2f));
    p = _mm512_fmadd_ps(p, r, number(0.16666666f));
    p = _mm512_fmadd_ps(p, r, number(0.5f));
    p = _mm512_fmadd_ps(p, mul(r, r), add(r, number(1)));
    return _mm512_scalef_ps(p, n);
}

static inline vec sigmoid(vec x) { return _mm512_div_ps(number(1), add(number(1), exponential(sub(number(0), x)))); }

static inline vec hyperbolic(vec x) {
    vec s = sigmoid(add(x, x));
    return sub(add(s, s), number(1));
}

/* gx, gh [B, 3H] and h [B, H] -> r, z, n, gh_n (for the way back) and the new h in both widths, all [B, H]. */
void gates_forward(const bf16 *gx, const bf16 *gh, const float *h, bf16 *r, bf16 *z, bf16 *n, bf16 *gh_n, float *after,
                   bf16 *after16, int64_t B, int64_t H) {
    for (int64_t b = 0; b < B; b++, gx += 3 * H, gh += 3 * H) {
        for (int64_t i = 0, o = b * H; i < H; i += LANES, o += LANES) {
            __mmask16 m = first(H - i);
            vec R = sigmoid(add(load16(m, gx + i), load16(m, gh + i)));
            vec Z = sigmoid(add(load16(m, gx + H + i), load16(m, gh + H + i)));
            vec G = load16(m, gh + 2 * H + i);
            vec N = hyperbolic(_mm512_fmadd_ps(R, G, load16(m, gx + 2 * H + i)));
            vec A = _mm512_fmadd_ps(Z, sub(load32(m, h + o), N), N);
            store16(m, r + o, R);
            store16(m, z + o, Z);
            store16(m, n + o, N);
            store16(m, gh_n + o, G);
            store32(m, after + o, A);
            store16(m, after16 + o, A);
        }
    }
}

/* What the loss makes of h' [B, H] comes in three parts: past the gates of the step behind (later), from the layer above
 * (above), through the products of the step behind (through). h16 is the h that the step began with.
 * -> gradients of gx and gh [B, 3H], and what goes past the gates to the step before [B, H].
 */
void gates_backward(const float *later, const float *above, const bf16 *through, const bf16 *r, const bf16 *z,
                    const bf16 *n, const bf16 *gh_n, const bf16 *h16, bf16 *dgx, bf16 *dgh, float *earlier, int64_t B,
                    int64_t H) {
    const vec one = number(1);
    for (int64_t b = 0; b < B; b++, dgx += 3 * H, dgh += 3 * H) {
        for (int64_t i = 0, o = b * H; i < H; i += LANES, o += LANES) {
            __mmask16 m = first(H - i);
            vec D = add(add(load32(m, later + o), load32(m, above + o)), load16(m, through + o));
            vec R = load16(m, r + o), Z = load16(m, z + o), N = load16(m, n + o);
            vec dn = mul(mul(D, sub(one, Z)), _mm512_fnmadd_ps(N, N, one));
            vec dz = mul(mul(D, sub(load16(m, h16 + o), N)), mul(Z, sub(one, Z)));
            vec dr = mul(mul(dn, load16(m, gh_n + o)), mul(R, sub(one, R)));
            store16(m, dgx + i, dr);
            store16(m, dgx + H + i, dz);
            store16(m, dgx + 2 * H + i, dn);
            store16(m, dgh + i, dr);
            store16(m, dgh + H + i, dz);
            store16(m, dgh + 2 * H + i, mul(dn, R));
            store32(m, earlier + o, mul(D, Z));
        }
    }
}
