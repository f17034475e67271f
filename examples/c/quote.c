/* One quote from a policy that Python wrote: open("policy.bin", "wb").write(model.policy().to_bytes())
 *
 *   include=$(python -c "import mmcore; print(mmcore.get_include())")
 *   cc -std=c11 -O2 -ffp-contract=off -I$include quote.c -lm && ./a.out policy.bin
 */
#include <inttypes.h>
#include <stdio.h>

#include <mmcore/quoting.h>

static _Alignas(MM_POLICY_ALIGN) char block[1 << 20];

int main(int count, char **arguments) {
  FILE *file = fopen(count > 1 ? arguments[1] : "policy.bin", "rb");
  const size_t bytes = file ? fread(block, 1, sizeof block, file) : 0;
  const mm_policy *policy = (const mm_policy *)block;
  mm_rules rules;
  mm_quote quote;
  if (file)
    fclose(file);
  if (mm_policy_check(policy, bytes) != MM_OK) { /* whole, unchanged, of this version */
    fputs("no policy\n", stderr);
    return 1;
  }
  mm_rules_init(&rules);
  rules.max_position = 10;
  /* The fair price is 100.5 ticks, 3 lots are held, the touch is 100 to 101; no shift and no target, the
   * stationary policy (a time left of INFINITY), state 0, market data of this moment. */
  mm_quote_make(policy, &rules, 100.5, 3, 100, 101, 0, 0, INFINITY, 0, 0, &quote);
  printf("%" PRId64 " x %" PRId64 ", %" PRId64 " and %" PRId64 " lots\n", quote.price[MM_BID],
         quote.price[MM_ASK], quote.size[MM_BID], quote.size[MM_ASK]);
  return 0;
}
