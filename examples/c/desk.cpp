// One thread recalibrates a policy, two others quote from it and book what is filled, without a lock.
//
//   include=$(python -c "import mmcore; print(mmcore.get_include())")
//   c++ -std=c++17 -O2 -ffp-contract=off -I$include desk.cpp -pthread
#include <mmcore/book.h>
#include <mmcore/recalibration.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

void check(int status, const char *what) {
  if (status < 0)
    throw std::runtime_error(std::string(what ? what : "failed") + ": status " + std::to_string(status));
}

// A policy that is recalibrated while others read it: two blocks of memory, and work for one recalibration.
class LivePolicy {
public:
  explicit LivePolicy(const mm_parameters &p)
      : blocks(2 * stride(p) + MM_POLICY_ALIGN), work(MM_RECALIBRATION_WORK(mm_nodes_of(&p))) {
    const auto from = reinterpret_cast<std::uintptr_t>(blocks.data());
    auto *first = blocks.data() + (MM_POLICY_ALIGN - from % MM_POLICY_ALIGN) % MM_POLICY_ALIGN;
    live.work = work.data();
    for (std::size_t i = 0; i < 2; ++i) {
      live.block[i] = live.memory[i] = reinterpret_cast<mm_policy *>(first + i * stride(p));
      check(mm_recalibration_begin(&p, live.block[i], stride(p)), "policy");
    }
    set(p);
  }

  void set(const mm_parameters &p) {
    const char *wrong = nullptr;
    check(mm_live_set(&live, &p, &wrong), wrong);
  }

  mm_quote quote(const mm_rules &rules, double reference, std::int64_t inventory) const {
    mm_quote out;
    mm_live_quote(&live, &rules, reference, static_cast<double>(inventory), MM_NO_BID, MM_NO_ASK, 0, 0,
                  INFINITY, 0, 0, &out);
    return out;
  }

private:
  static std::size_t stride(const mm_parameters &p) {
    const auto bytes = static_cast<std::size_t>(mm_recalibration_bytes(&p));
    return (bytes + MM_POLICY_ALIGN - 1) / MM_POLICY_ALIGN * MM_POLICY_ALIGN;
  }

  std::vector<unsigned char> blocks;
  std::vector<double> work;
  mm_live_policy live{};
};

mm_parameters parameters(double sigma) {
  mm_parameters p;
  mm_parameters_init(&p, MM_MODEL_EXACT);
  p.sigma = sigma, p.A[MM_BID] = p.A[MM_ASK] = 0.9, p.k[MM_BID] = p.k[MM_ASK] = 0.3;
  p.gamma = 0.01, p.q_max = 10;
  return p;
}

} // namespace

int main() {
  constexpr int quotes = 200000, rounds = 2000;
  LivePolicy policy(parameters(0.3));
  std::atomic<int> begun{0};

  const auto trade = [&](std::uint64_t seed, mm_position *position, std::int64_t *narrowest) {
    mm_rules rules;
    mm_rules_init(&rules);
    rules.max_position = 10;
    mm_position_init(position, MM_AVERAGE, 0);
    ++begun;
    for (int i = 0; i < quotes; ++i) {
      const mm_quote q = policy.quote(rules, 20000.5, position->net);
      if (q.size[MM_BID] > 0 && q.size[MM_ASK] > 0)
        *narrowest = std::min(*narrowest, q.price[MM_ASK] - q.price[MM_BID]);
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      const int side = static_cast<int>(seed >> 63); // who comes: a seller to our bid, or a buyer
      if (q.size[side] > 0)
        check(mm_position_fill(position, nullptr, 0, side == MM_BID ? q.size[side] : -q.size[side],
                               q.price[side], 0),
              "fill");
    }
  };

  mm_position positions[2];
  std::int64_t narrowest[2] = {INT64_MAX, INT64_MAX};
  std::thread first(trade, 1, &positions[0], &narrowest[0]), second(trade, 2, &positions[1], &narrowest[1]);
  while (begun < 2)
    std::this_thread::yield();
  for (int i = 1; i <= rounds; ++i)
    policy.set(parameters(0.3 + 0.0001 * i));
  first.join(), second.join();

  std::printf("%d recalibrations under %d quotes; narrowest spread %lld ticks; positions %lld and %lld\n",
              rounds, 2 * quotes, static_cast<long long>(std::min(narrowest[0], narrowest[1])),
              static_cast<long long>(positions[0].net), static_cast<long long>(positions[1].net));
  for (const mm_position &p : positions)
    if (p.net < -10 || p.net > 10)
      return 1;
  return 0;
}
