// SPDX-License-Identifier: MIT
// What follows from a profile's figures.
#include "machine/timed/profile.hpp"

namespace shootdown::timed {

ParamValues Profile::central() const {
  ParamValues values;
  for (const ParamInfo& p : param_infos) values[p.param] = (*this)[p.param].value;
  return values;
}

unsigned Profile::sockets_for(unsigned n) const {
  const unsigned per_socket = (cpus + sockets - 1) / sockets;
  return (n + per_socket - 1) / per_socket;
}

}  // namespace shootdown::timed
