/* One quote from an affine policy and one booked fill, in plain C (and C++): no Python. */
#include <mmcore/book.h>
#include <mmcore/quoting.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  mm_policy policy;
  mm_rules rules;
  mm_quote quote;
  mm_position position;
  memset(&policy, 0, sizeof policy);
  mm_rules_init(&rules);
  policy.kind = MM_AFFINE;
  policy.flags = MM_STATIONARY;
  policy.n_states = 1;
  policy.order_size = 1.0;
  policy.q_max = 10.0;
  policy.horizon = 1e300;
  policy.base[MM_BID] = policy.base[MM_ASK] = 1.5;
  policy.slope[MM_BID] = policy.slope[MM_ASK] = 0.25;
  rules.max_position = 10.0;
  mm_quote_make(&policy, &rules, 100.0, 2.0, 99, 101, 0.0, 0.0, 1.0, 0, 0.0, &quote);
  mm_position_init(&position, MM_AVERAGE, 0);
  if (mm_position_fill(&position, NULL, 0, quote.size[MM_BID], quote.price[MM_BID], 0) != MM_OK)
    return 1;
  printf("%lld %lld %lld\n", (long long)quote.price[MM_BID], (long long)quote.price[MM_ASK],
         (long long)position.net);
  return 0;
}
