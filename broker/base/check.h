#pragma once
// CHECK: a broken invariant ends the process, in release builds too. Never reachable from bytes
// that a peer or a user sent: those are Status.
#include <sstream>
#include <string>

namespace broker {

[[noreturn]] void check_failed(const char* file, int line, const std::string& what);

template <class A, class B>
std::string check_values(const char* expr, const A& a, const B& b) {
  std::ostringstream out;
  out << expr << " (" << a << " vs " << b << ")";
  return out.str();
}

}  // namespace broker

#define CHECK(cond)                                                              \
  do {                                                                           \
    if (__builtin_expect(!(cond), 0)) ::broker::check_failed(__FILE__, __LINE__, #cond); \
  } while (0)
#define CHECK_OP_(a, b, op)                                                                   \
  do {                                                                                        \
    const auto& sl_a_ = (a);                                                                  \
    const auto& sl_b_ = (b);                                                                  \
    if (__builtin_expect(!(sl_a_ op sl_b_), 0))                                               \
      ::broker::check_failed(__FILE__, __LINE__,                                              \
                             ::broker::check_values(#a " " #op " " #b, sl_a_, sl_b_));        \
  } while (0)
#define CHECK_EQ(a, b) CHECK_OP_(a, b, ==)
#define CHECK_LE(a, b) CHECK_OP_(a, b, <=)
#define CHECK_LT(a, b) CHECK_OP_(a, b, <)
#define CHECK_GE(a, b) CHECK_OP_(a, b, >=)
